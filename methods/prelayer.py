"""Prefix-layer tuning: trained states before those of the text, in every block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from finegrid.models.anatomy import Anatomy
from finegrid.models.layers import blocks_of
from finegrid.models.live import anatomy_of
from methods.injection import Keywords, add_parameters, added, change_keywords
from methods.peft_form import NoPeftFormError, PeftForm
from methods.prompt import CHILD, Prompt, body_of, is_prepended, width
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

_STATES = "hidden_states"
NO_WIDTH = "the model's configuration does not say how wide its blocks are"


@register("prelayer")
@dataclass(frozen=True)
class PreLayer(Prompt):
    """PreLayer, Hu et al. 2021, section 5.1: P_l takes the place of what a block is given there.

    P (blocks, length, d) is trained. Before each block l the states of the first `length` places,
    which stand before those of the tokens, are P_l: what the block before has made of them is
    replaced. Which states a head reads is as in prompt tuning, and an encoder-decoder gets P in its
    encoder alone. The paper's infix tokens, behind a prompt and before its answer, are not offered.
    """

    paper: ClassVar[str] = "Hu et al. 2021, arXiv:2106.09685"
    library_type: ClassVar[str | None] = None
    groups: ClassVar[tuple[str, ...]] = ("P",)

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """A model that reads no tokens, or whose states are of no known width."""
        if reason := super().not_applicable(anatomy):
            return reason
        return None if anatomy.hidden else NO_WIDTH

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Give the model P, its tokens places before them, and each block its P_l there."""
        super().inject(model, generator)
        for number, block in enumerate(reading_blocks(model)):
            replace = partial(_replace, model=model, number=number, length=self.length)
            change_keywords(block, CHILD, replace)

    def body_parameters(self, model: nn.Module) -> int:
        """blocks length d."""
        return len(reading_blocks(model)) * self.length * hidden_size(model)

    def peft_form(self, model: nn.Module) -> PeftForm:
        """None: peft's prompts stand before the first block alone."""
        raise NoPeftFormError("peft's prompts stand before the first block alone")

    def _add(self, model: nn.Module, size: int, generator: torch.Generator) -> None:
        import torch

        states = torch.empty(len(reading_blocks(model)), self.length, hidden_size(model))
        states.normal_(std=self.initial_std, generator=generator)
        add_parameters(model, CHILD, {"P": states})

    def _vectors(self, model: nn.Module) -> torch.Tensor:
        """What holds the places until the first block: zeros (length, width of a token)."""
        states: torch.Tensor = added(model, CHILD)["P"]
        return states.new_zeros(self.length, width(body_of(model)[0]))


def reading_blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of the part that embeds the input."""
    inside = set(map(id, body_of(model)[0].modules()))
    return [block for block in blocks_of(model) if id(block) in inside]


def hidden_size(model: nn.Module) -> int:
    """Features of a state. Raises ValueError where no configuration says it."""
    if (found := anatomy_of(model).hidden) is None:
        raise ValueError(NO_WIDTH)
    return found


def _replace(
    block: nn.Module,
    inputs: tuple[Any, ...],
    keywords: Keywords,
    model: nn.Module,
    number: int,
    length: int,
) -> tuple[tuple[Any, ...], Keywords]:
    """Put P_l in the first places of what the block is given, unless they are in a cache."""
    import torch

    if not is_prepended(model):
        return inputs, keywords
    states = inputs[0] if inputs else keywords[_STATES]  # (batch, length + sequence, d)
    own = added(model, CHILD)["P"][number].to(states.dtype).expand(len(states), -1, -1)
    changed = torch.cat([own, states[:, length:]], dim=1)
    return ((changed, *inputs[1:]), keywords) if inputs else ((), keywords | {_STATES: changed})
