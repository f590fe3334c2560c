"""Trainable tokens of the peft library: vectors of a few tokens, and none of the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from finegrid.models.anatomy import Anatomy
from finegrid.models.head import head_parameters
from finegrid.models.live import anatomy_of
from methods.peft import PeftMethod, register_type
from methods.peft_form import NoPeftFormError, PeftForm
from methods.peft_keys import canonical
from methods.peft_types import TOKENS, Config

if TYPE_CHECKING:
    from torch import nn

_INDICES = "token_indices"
_NO_TABLE = "the model has no table of tokens at its input"
_TWO_TABLES = "the model has no single table of tokens: its encoder and its decoder have their own"


@dataclass(frozen=True)
class OnTokens(PeftMethod):
    """Vectors (tokens, hidden) in the place of those rows of E (vocabulary, hidden).

    Where the model ties E to its output, the same vectors stand there, and are counted once.
    """

    sharded_problem: ClassVar[str | None] = (
        "its vectors are put into a whole table of tokens, of which each device has a part"
    )
    passed_over: ClassVar[tuple[str, ...]] = ("init_weights",)

    config: Config = field(default_factory=dict)
    """`token_indices`: the tokens, by their numbers in the vocabulary."""

    def __post_init__(self) -> None:
        """Write numbers one way."""
        object.__setattr__(self, "config", canonical(self.library_type, self.config))

    def settings(self) -> Config:
        """The configuration."""
        return self.config

    def keys(self) -> frozenset[str]:
        """The tokens alone: their vectors start as they are."""
        return frozenset({_INDICES})

    @property
    def largest_token(self) -> int | None:
        """The last of the tokens."""
        return max(_tokens(self.config), default=None)

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """A model that reads no tokens, or reads them from two tables."""
        if anatomy.embeddings is None:
            return _NO_TABLE
        return _TWO_TABLES if anatomy.encoder_decoder else None

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """What is no list of tokens."""
        yield from super().problems(anatomy)
        given, tokens = self.config.get(_INDICES), _tokens(self.config)
        if not tokens or tokens != given or len({*tokens}) < len(tokens) or min(tokens) < 0:
            allowed = "a list of different numbers of the vocabulary, from 0"
            yield f"config: {_INDICES} {given}; allowed: {allowed}"

    def placed(self, model: nn.Module) -> Config:
        """The target is the table's path. Raises ValueError for tokens that it does not have."""
        anatomy = anatomy_of(model)
        if (reason := self.not_applicable(anatomy)) or anatomy.embeddings is None:
            raise ValueError(reason)
        table: Any = model.get_submodule(anatomy.embeddings)
        last, size = self.largest_token, len(table.weight)
        if last is not None and last >= size:
            raise ValueError(f"config: {_INDICES} {last}; allowed: 0 to {size - 1}")
        return self.config | {"target_modules": re.escape(anatomy.embeddings)}

    def body_parameters(self, model: nn.Module) -> int:
        """Tokens x hidden."""
        path = anatomy_of(model).embeddings
        if path is None:
            raise ValueError(_NO_TABLE)
        table: Any = model.get_submodule(path)
        return len(_tokens(self.config)) * int(table.weight.shape[1])

    def peft_form(self, model: nn.Module) -> PeftForm:
        """The vectors. Raises NoPeftFormError for a model with a head, which is trained as well."""
        if list(head_parameters(model)):
            raise NoPeftFormError("an adapter of peft's type keeps no head")
        return super().peft_form(model)


def _tokens(config: Config) -> list[int]:
    """Those of the configuration that are numbers."""
    given = config.get(_INDICES)
    listed = given if isinstance(given, list) else []
    return [one for one in listed if isinstance(one, int) and not isinstance(one, bool)]


register_type("trainable_tokens", TOKENS, OnTokens)
