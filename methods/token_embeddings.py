"""The vectors of the tokens: the embeddings, and what a language model says tokens with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from finegrid.models.anatomy import Anatomy
from finegrid.models.vectors import Table, token_tables
from methods.contract import Method
from methods.parameters import Category
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

_MISSING = {
    "input": "the model has no table of tokens at its input",
    "output": "the model has no layer that says tokens at its output",
}


@register("token-embeddings")
@dataclass(frozen=True)
class TokenEmbeddings(Method):
    """Train tables of the base whole: E (vocabulary, hidden), U (vocabulary, hidden), or both.

    x = E[token] is what the model reads and U h what it says tokens with. LoRA is put beside E, and
    the norms, by Chen et al. 2024, section 3.3, and beside E and U by those who add tokens to a
    model, as peft's `modules_to_save`. Where a model ties the two, U = E, that is one table: it is
    trained by either name, stays tied and is counted once. A bias of the output is none of it.
    """

    paper: ClassVar[str] = "Chen et al. 2024, arXiv:2309.12307"
    draws: ClassVar[bool] = False
    unfreezes: ClassVar[frozenset[Category]] = frozenset({"embedding"})
    groups: ClassVar[tuple[str, ...]] = ("tokens",)

    tables: Annotated[tuple[Table, ...], Field(min_length=1)] = ("input",)
    """Which are trained: `input` for E, `output` for U."""

    @property
    def in_base(self) -> bool:
        """Always."""
        return True

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """A table that the model lacks."""
        paths = {"input": anatomy.embeddings, "output": anatomy.output}
        return next((_MISSING[table] for table in self.tables if paths[table] is None), None)

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Unfreeze the tables."""
        for table in self.tables:
            found = token_tables(model, (table,))
            if not found:
                raise ValueError(_MISSING[table])
            for one in found:
                one.requires_grad_()

    def body_parameters(self, model: nn.Module) -> int:
        """Vocabulary x hidden of each table, once where they are tied."""
        return sum(one.numel() for one in token_tables(model, self.tables))
