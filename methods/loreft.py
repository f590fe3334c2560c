"""LoReFT: trained low-rank changes of the states of a text's first and last tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from finegrid.models.anatomy import Anatomy
from methods.contract import Method, above
from methods.injection import Keywords, add_parameters, added, change_keywords, change_output
from methods.prelayer import NO_WIDTH, hidden_size, reading_blocks
from methods.prompt import body_of
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

_CHILD = "loreft"
_PLACES = "finegrid_loreft_places"
_NO_TOKENS = "the model has no token embeddings: nothing it reads has first and last tokens"
_UNKNOWN_END = "and no block of a model that writes is told where a prompt ends; allowed: 0"
_PACKED = "and no block is told where a packed example ends; allowed: 0"


class _Places(NamedTuple):
    """Which of the tokens that a model is reading are changed, and by what."""

    shape: tuple[int, int]
    """(batch, sequence)."""
    rows: torch.Tensor
    """(batch, 1)."""
    columns: torch.Tensor
    """(batch, k): the k places of a row that may be changed, each once."""
    changed: torch.Tensor
    """(batch, k, interventions): whether the intervention changes the state at the place."""


@register("loreft")
@dataclass(frozen=True)
class LoReFT(Method):
    """LoReFT, Wu et al. 2024, equation 2: h <- h + R^T (W h + b - R h).

    h (d,) is the output of each block at the first and at the last tokens of a text, those that a
    tokenizer puts about it counted and padding not. R (r, d) has orthonormal rows, W is (r, d) and
    b (r,). The first and the last tokens have an intervention of their own, or share one. Where a
    text has fewer tokens than both take, the first ones come first and no token is changed twice.
    Of an encoder-decoder the encoder's states are changed. In a row of packed examples each has its
    first tokens, and what a model writes behind a shorter prompt is of the text too.

    V (r, d) is trained in the place of R: R^T is the Q of a QR decomposition of V^T with a positive
    diagonal. V starts with orthonormal rows, W and b start as in a linear layer of the library.
    """

    paper: ClassVar[str] = "Wu et al. 2024, arXiv:2404.03592"
    identity_at_start: ClassVar[bool] = False
    groups: ClassVar[tuple[str, ...]] = ("V", "W", "b")

    rank: Annotated[int, Field(ge=1)] = 4
    prefix_positions: Annotated[int, Field(ge=0)] = 3
    """First tokens of a text whose states are changed."""
    suffix_positions: Annotated[int, Field(ge=0)] = 3
    """Last tokens of a text whose states are changed; 0 for a decoder that writes."""
    tied: bool = False
    """Whether first and last tokens share R, W and b."""

    @property
    def interventions(self) -> int:
        """How many a block has: one of the first tokens and one of the last, or one of both."""
        return 2 if self.prefix_positions and self.suffix_positions and not self.tied else 1

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """A model that reads no tokens, or whose states are of no known width."""
        if anatomy.embeddings is None:
            return _NO_TOKENS
        return None if anatomy.hidden else NO_WIDTH

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """Nothing to change, a rank above the width, or last tokens of a text to be written on."""
        if anatomy.hidden:
            yield from above("rank", self.rank, anatomy.hidden)
        if not self.prefix_positions and not self.suffix_positions:
            nothing = "prefix_positions: 0 and suffix_positions: 0 leave nothing to train"
            yield f"{nothing}; allowed: one of them from 1"
        if self.suffix_positions and anatomy.output is not None and anatomy.causal:
            yield f"suffix_positions: {self.suffix_positions}, {_UNKNOWN_END}"

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Give each block V, W and b; the part that embeds the tokens finds their places."""
        body, _ = body_of(model)
        for block in reading_blocks(model):
            add_parameters(block, _CHILD, self._drawn(hidden_size(model), generator))
            change_output(block, _CHILD, partial(_change, model=model))
        change_keywords(body, _CHILD, partial(self._find_places, model=model))

    def body_parameters(self, model: nn.Module) -> int:
        """blocks interventions (2 r d + r)."""
        each = 2 * self.rank * hidden_size(model) + self.rank
        return len(reading_blocks(model)) * self.interventions * each

    def _drawn(self, width: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """V, W (interventions, r, d) and b (interventions, r)."""
        import torch

        shape, bound = (self.interventions, self.rank), width**-0.5
        normal = torch.empty(*shape, width).normal_(generator=generator)
        return {
            "V": orthonormal(normal),
            "W": torch.empty(*shape, width).uniform_(-bound, bound, generator=generator),
            "b": torch.empty(shape).uniform_(-bound, bound, generator=generator),
        }

    def _find_places(
        self, body: Any, inputs: tuple[Any, ...], keywords: Keywords, model: nn.Module
    ) -> tuple[tuple[Any, ...], Keywords]:
        """Note the places for the blocks: none where a model goes on behind the first tokens."""
        tokens = inputs[0] if inputs else keywords["input_ids"]
        first, last = self._ends(tokens, keywords)
        goes_on = _read_before(keywords) and not bool((first | last).any())
        most = self.prefix_positions + self.suffix_positions
        if _is_packed(keywords):
            most = tokens.shape[1]  # each example has first tokens of its own
        model.__dict__[_PLACES] = None if goes_on else self._places(first, last, most)
        return inputs, keywords

    def _ends(self, tokens: torch.Tensor, keywords: Keywords) -> tuple[torch.Tensor, torch.Tensor]:
        """Whether each token (batch, sequence) is one of the first, and one of the last.

        Raises ValueError for packed examples of which the last are asked for.
        """
        import torch

        if _is_packed(keywords):
            if self.suffix_positions:
                raise ValueError(f"suffix_positions: {self.suffix_positions}, {_PACKED}")
            before = keywords["position_ids"].expand_as(tokens)
            return before < self.prefix_positions, torch.zeros_like(before, dtype=torch.bool)
        before, behind = _neighbours(tokens, keywords)
        first = (before >= 0) & (before < self.prefix_positions)
        return first, (before >= self.prefix_positions) & (behind < self.suffix_positions)

    def _places(self, first: torch.Tensor, last: torch.Tensor, most: int) -> _Places:
        """At most so many places of a row, from whether it is (batch, sequence) a first token."""
        import torch

        which = [first, last] if self.interventions > 1 else [first | last]
        order = (first | last).byte().argsort(dim=1, descending=True, stable=True)
        columns = order[:, :most]
        changed = torch.stack([one.gather(1, columns) for one in which], dim=-1)
        rows = torch.arange(len(first), device=first.device)[:, None]
        return _Places((first.shape[0], first.shape[1]), rows, columns, changed)


def _read_before(keywords: Keywords) -> int:
    """How many tokens of each text are in the model's cache."""
    cache = keywords.get("past_key_values")
    return 0 if cache is None else int(cache.get_seq_length())


def _is_packed(keywords: Keywords) -> bool:
    """Whether positions that start again part the examples of a row, in the place of a mask."""
    return keywords.get("attention_mask") is None and keywords.get("position_ids") is not None


def _neighbours(tokens: torch.Tensor, keywords: Keywords) -> tuple[torch.Tensor, torch.Tensor]:
    """How many tokens of its text stand before and behind each token (batch, sequence).

    Before padding there are -1.
    """
    count = tokens.shape[1]
    mask = keywords.get("attention_mask")  # (batch, tokens in the cache and sequence)
    if mask is None:
        mask = tokens.new_ones(len(tokens), _read_before(keywords) + count)
    known = mask.long()
    before = known.cumsum(dim=1) - 1
    behind = known.sum(dim=1, keepdim=True) - 1 - before
    return before.masked_fill(known == 0, -1)[:, -count:], behind[:, -count:]


def orthonormal(rows: torch.Tensor) -> torch.Tensor:
    """R (..., r, d): R^T is the Q of rows^T = Q U, where the diagonal of U is positive."""
    import torch

    q, upper = torch.linalg.qr(rows.mT)
    signs = torch.where(upper.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(q.dtype)
    orthogonal: torch.Tensor = q * signs[..., None, :]
    return orthogonal.mT


def _change(block: nn.Module, inputs: tuple[Any, ...], output: Any, model: nn.Module) -> Any:
    """The block's output with the states changed; what may stand beside them is kept."""
    places: _Places | None = model.__dict__[_PLACES]
    if places is None:
        return output
    if isinstance(output, tuple):
        return (_changed(output[0], places, added(block, _CHILD)), *output[1:])
    return _changed(output, places, added(block, _CHILD))


def _changed(states: torch.Tensor, places: _Places, tensors: nn.ParameterDict) -> torch.Tensor:
    """h + R^T (W h + b - R h) at the places, in the precision of what is trained.

    Raises ValueError where the states (batch, sequence, d) are not those of the tokens.
    """
    import torch
    from torch.nn import functional

    if tuple(states.shape[:2]) != places.shape:
        raise ValueError(f"states {tuple(states.shape)} of {places.shape} tokens have no places")
    old = states[places.rows, places.columns]  # (batch, k, d)
    with torch.autocast(states.device.type, enabled=False):
        rotation = orthonormal(tensors["V"])
        h = old.to(rotation.dtype)
        moved = (tensors["W"] - rotation).flatten(0, 1)  # (interventions r, d)
        low = functional.linear(h, moved, tensors["b"].flatten())
        low = torch.unflatten(low, -1, tensors["b"].shape) * places.changed[..., None]
        new = h + low.flatten(-2) @ rotation.flatten(0, 1)
    return states.index_put((places.rows, places.columns), new.to(states.dtype))
