"""The anatomy of a model: its linear layers by role, its blocks, its attention, its head.

A role is the part that a weight plays: q, k, v, o are the projections of attention, up, gate and
down those of the feed-forward part. Nothing here loads torch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

from pydantic import Field

from finegrid.records.base import Record

Stored = Literal["linear", "transposed", "expert", "convolution", "weight"]
"""How a weight is kept: W (out, in); W (in, out); one matrix an expert; a kernel; or W (out, in)
of a layer that is never called, as its weight alone is read."""
Reads = Literal["text", "images", "text and images", "audio", "numbers"]
ALL_ROLES = "all"
"""In place of roles: every role that the model has."""
_ORDER = ("q", "k", "v", "o", "up", "gate", "down")
"""In which roles are taken, whatever the order of a model's own layers is: others come after."""


class Rows(Record):
    """Which outputs of a fused layer belong to one role: `count` runs of `length` rows each.

    The i-th run starts at row `start + i * stride`.
    """

    start: int
    length: int
    stride: int = 0
    count: int = 1

    @property
    def total(self) -> int:
        """How many rows there are."""
        return self.length * self.count

    def indices(self) -> list[int]:
        """The numbers of the rows, in the order of the role's own outputs."""
        starts = (self.start + self.stride * run for run in range(self.count))
        return [row for first in starts for row in range(first, first + self.length)]


class Part(Record):
    """A weight that plays a role."""

    path: str
    """Of the module that holds the weight; of the parameter itself where experts are stacked."""
    role: str
    block: int
    """Number of its block in the stack, from 0."""
    stack: str
    in_features: int
    out_features: int
    """Outputs of this role, of one expert where there are several."""
    stored: Stored
    parameters: int
    """Elements of the weight that belong to the role."""
    outputs: Rows | None = None
    """Rows of the fused layer that belong to the role; None where the whole layer does."""
    experts: int = 1
    """How many matrices of that size the weight stacks."""
    dropout: str | None = None
    """Path of the dropout that the outputs go through before their residual is added."""
    end: str | None = None
    """Path of the norm that the outputs go through before their residual is added."""


class Block(Record):
    """A block: the module that is repeated along the depth of a stack."""

    path: str
    stack: str


class Attention(Record):
    """A module that calls the library's attention function."""

    path: str
    block: int
    stack: str
    heads: int
    key_heads: int
    head_size: int


class Unnamed(Record):
    """A weight of a block that no role names."""

    path: str
    parameters: int


class Anatomy(Record):
    """What methods may know of a model before it is loaded."""

    model_type: str
    reads: Reads
    blocks: tuple[Block, ...]
    parts: tuple[Part, ...]
    unnamed: tuple[Unnamed, ...]
    block_weights: int
    """Elements of all weights of the blocks: matrices, kernels and tables; no norms, no biases."""
    other_weights: int
    """Elements of the weights of the body that stand in no block, token embeddings left out."""
    attention: tuple[Attention, ...]
    """Modules whose attention can be given more keys; none where `attention_reason` says why."""
    attention_reason: str | None
    heads: int | None
    """The most heads of queries that a stack has; None where no configuration says it."""
    head: tuple[str, ...]
    """Paths of the modules of the task's head."""
    optional: tuple[str, ...]
    """Paths of modules that a checkpoint may lack: the head's in a model without."""
    embeddings: str | None
    """Path of the module that turns tokens into vectors; None for a model that reads none."""
    output: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Path of the layer that gives a logit for each token; None for a model that says none."""
    positions: int | None
    """How many vectors a sequence may have; None where there is no limit."""
    norms: tuple[str, ...]
    has_biases: bool
    """Whether any module outside the head has a bias."""
    encoder_decoder: bool
    causal: bool
    """Whether a token sees those before it alone, so that the last one's state is the text's."""
    pooler: bool
    """Whether the body may have a layer that makes the text's features of its first state."""
    hidden: int | None
    image_size: tuple[int, int] | None = None
    """Height and width of the only images that the model takes; None where others go, or none."""
    batch_norm: str | None = None
    """Path of the first norm over the examples of a batch; None where there is none."""
    attention_implementation: Literal["sdpa", "eager"]
    """Which attention function of the library is asked for: eager where it has no fused one."""
    packs: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether positions that start again part the examples of one row, in a model that writes."""
    sums_known: bool
    """Whether dropouts, ends and `feed_forward_sums` are known; else nothing is placed there."""
    feed_forward_sums: tuple[str, ...] = ()
    """Paths of the modules that give out a feed-forward part's output plus its residual."""

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Anatomy:
        """Itself, as it never changes: copies of a model share it."""
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that any part plays: attention, feed-forward part, others in their order."""
        found = dict.fromkeys(part.role for part in self.parts)
        return (*(role for role in _ORDER if role in found), *(r for r in found if r not in _ORDER))

    @property
    def stacks(self) -> dict[str, int]:
        """Stack -> how many blocks it has."""
        names = [block.stack for block in self.blocks]
        return {name: names.count(name) for name in dict.fromkeys(names)}

    @property
    def poolings(self) -> tuple[str, ...]:
        """How a text's features may be pooled; empty for a model that reads no text."""
        if self.embeddings is None:
            return ()
        first = () if self.causal else ("first",)  # a causal model's first state is its first token
        return ("mean", *first, "last", *(("pooler",) if self.pooler else ()))

    def named(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """The roles that are meant: (`all`,) stands for every role."""
        return self.roles if wanted == (ALL_ROLES,) else wanted

    def of_roles(self, wanted: tuple[str, ...]) -> list[Part]:
        """The parts that play these roles, role by role, each in the model's order."""
        return [part for role in self.named(wanted) for part in self.parts if part.role == role]

    def missing(self, wanted: tuple[str, ...]) -> list[str]:
        """Those of the roles that the model does not have."""
        return [role for role in self.named(wanted) if role not in self.roles]

    def largest_rank(self, wanted: tuple[str, ...]) -> int:
        """The rank that the smallest layer among the roles can have."""
        return min(min(one.in_features, one.out_features) for one in self.of_roles(wanted))

    def fewest_outputs(self, wanted: tuple[str, ...]) -> int:
        """The fewest output features of a layer among the roles."""
        return min(one.out_features for one in self.of_roles(wanted))


def of_network(widths: tuple[int, ...], model_type: str) -> Anatomy:
    """The anatomy of a plain stack of linear layers, h_i = ReLU(W_i h_(i-1) + b_i), and a head.

    The widths are (in, ..., out); every layer of the body is a block with the role `linear`.
    """
    layers = {f"body.{number}": pair for number, pair in enumerate(pairwise(widths[:-1]))}
    return Anatomy(
        model_type=model_type,
        reads="numbers",
        blocks=tuple(Block(path=path, stack="body") for path in layers),
        parts=tuple(_plain(path, number, *layers[path]) for number, path in enumerate(layers)),
        unnamed=(),
        block_weights=sum(inputs * outputs for inputs, outputs in layers.values()),
        other_weights=0,
        attention=(),
        attention_reason="the model has no attention",
        heads=None,
        head=("head",),
        optional=(),
        embeddings=None,
        positions=None,
        norms=(),
        has_biases=bool(layers),
        encoder_decoder=False,
        causal=False,
        pooler=False,
        hidden=None,
        attention_implementation="sdpa",
        sums_known=False,
    )


def _plain(path: str, block: int, inputs: int, outputs: int) -> Part:
    return Part(
        path=path,
        role="linear",
        block=block,
        stack="body",
        in_features=inputs,
        out_features=outputs,
        stored="linear",
        parameters=inputs * outputs,
    )
