"""What may be known of a model before it is loaded: its linear layers by role, and its parts.

A role is the part that a linear layer plays: q, k, v, o are the projections of attention, up and
down those of the feed-forward part, gate its gate, `linear` a layer of a plain stack. Nothing here
loads torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

Sizes = dict[str, tuple[tuple[int, int], ...]]
Reads = Literal["text", "images", "speech", "numbers"]
ALL_LINEAR = "all"
"""In place of roles: every role that the architecture has."""


@dataclass(frozen=True)
class Keys:
    """Names of the sizes in an architecture's configuration. Several are read as alternatives."""

    hidden: str = "hidden_size"
    layers: tuple[str, ...] = ("num_hidden_layers",)
    """Counts of the blocks of each stack; an encoder and a decoder have one each."""
    heads: str = "num_attention_heads"
    inner: str = "intermediate_size"
    inner_multiple: int | None = None
    """The feed-forward width in hidden widths where the configuration leaves it out."""


@dataclass(frozen=True)
class Architecture:
    """Where an architecture keeps its layers, as patterns over `named_modules`."""

    roles: Mapping[str, str]
    """Role -> pattern of the paths of its linear layers, in every block."""
    block: str
    """Pattern of the paths of its blocks."""
    head: tuple[str, ...]
    """Names of the modules of the task's head, children of the model."""
    attention: str | None = None
    """Pattern of the modules that call the attention function; None where none can be replaced."""
    attention_reason: str = "the model has no attention"
    """Why `attention` is None."""
    fused: Mapping[str, int] = field(default_factory=dict)
    """Role -> which part of a fused projection's outputs it is; all parts are of one size."""
    transposed: bool = False
    """Whether the linear layers keep their weights as (in, out)."""
    dropouts: Mapping[str, str] = field(default_factory=dict)
    """Role -> where the dropout of its layers' outputs is, from the layer: `../dropout`."""
    ends: Mapping[str, str] = field(default_factory=dict)
    """Role -> the norm that the outputs of its layers go through before their residual is added,
    from the layer, where there is one."""
    feed_forward_sum: str | None = None
    """Pattern of the modules that give out the feed-forward part's output plus its residual: the
    layer norm that follows where one does, the block itself in blocks that normalise inputs."""
    embeddings: str | None = None
    """Path of the module that turns tokens into vectors, where there are tokens."""
    reads: Reads = "text"
    """What goes into the model."""
    encoder_decoder: bool = False
    """Whether a decoder attends to an encoder."""
    has_biases: bool = True
    """Whether any layer outside the head has a bias."""
    has_norms: bool = True
    """Whether there are normalisation layers."""
    optional: tuple[str, ...] = ()
    """Paths of modules that a checkpoint may lack: they belong to the head of a model without."""
    attention_implementation: Literal["sdpa", "eager"] = "sdpa"
    """Which of the library's attention functions is asked for: eager where it has no fused one."""
    reserved_positions: int = 0
    """Positions of the embedding table that no token can take."""
    causal: bool = False
    """Whether a token sees those before it alone, so that the last one's state is the text's."""
    pooler: bool = False
    """Whether the body may have a layer that makes the text's features of its first state."""
    keys: Keys = Keys()

    @property
    def poolings(self) -> tuple[str, ...]:
        """How a text's features may be pooled; empty for what reads no text."""
        if self.embeddings is None:
            return ()
        first = () if self.causal else ("first",)  # a causal model's first state is its first token
        return ("mean", *first, "last", *(("pooler",) if self.pooler else ()))

    def sizes(self, configuration: Mapping[str, Any]) -> Sizes:
        """Role -> (in, out) features of each of its layers, from a configuration.

        Raises KeyError for a size that the configuration lacks.
        """
        hidden, inner = configuration[self.keys.hidden], self._inner(configuration)
        key_heads, width = self.key_heads(configuration)
        queries, keys = width * configuration[self.keys.heads], width * key_heads
        ends = {
            "q": (hidden, queries),
            "k": (hidden, keys),
            "v": (hidden, keys),
            "o": (queries, hidden),
            "up": (hidden, inner),
            "gate": (hidden, inner),
            "down": (inner, hidden),
        }
        count = sum(configuration[key] for key in self.keys.layers)
        return {role: (ends[role],) * count for role in self.roles}

    def size_keys(self) -> tuple[str, ...]:
        """The keys of a configuration that `sizes` cannot do without."""
        inner = () if self.keys.inner_multiple else (self.keys.inner,)
        return (self.keys.hidden, self.keys.heads, *inner, *dict.fromkeys(self.keys.layers))

    def key_heads(self, configuration: Mapping[str, Any]) -> tuple[int, int]:
        """How many heads the keys of a layer have, and the size of each."""
        heads = configuration[self.keys.heads]
        size = configuration.get("head_dim") or configuration.get("d_kv")
        size = size or configuration[self.keys.hidden] // heads
        return int(configuration.get("num_key_value_heads") or heads), int(size)

    def _inner(self, configuration: Mapping[str, Any]) -> int:
        multiple = self.keys.inner_multiple
        if multiple is not None and configuration.get(self.keys.inner) is None:
            return multiple * int(configuration[self.keys.hidden])
        return int(configuration[self.keys.inner])


class LinearStack(Architecture):
    """A plain stack of linear layers: one role, no attention."""

    def size_keys(self) -> tuple[str, ...]:
        """None: its widths are one list, which has a schema of its own."""
        return ()

    def sizes(self, configuration: Mapping[str, Any]) -> Sizes:
        """The layers below the head, as (in, out) features; two widths leave none."""
        body = tuple(pairwise(configuration["layers"][:-1]))
        return {"linear": body} if body else {}


@dataclass(frozen=True)
class Shape:
    """What a method needs to know of a model before it is loaded."""

    sizes: Sizes
    architecture: Architecture

    @property
    def blocks(self) -> int:
        """How many blocks there are, those of all stacks together."""
        return max((len(layers) for layers in self.sizes.values()), default=0)

    def roles(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """The roles that are meant: `all` stands for every role of the architecture."""
        return tuple(self.sizes) if wanted == (ALL_LINEAR,) else wanted

    def missing(self, wanted: tuple[str, ...]) -> list[str]:
        """Those of the roles that the architecture does not have."""
        return [role for role in self.roles(wanted) if role not in self.sizes]

    def lack(self, *wanted: tuple[str, ...]) -> str | None:
        """Why a method on these roles does not fit the model; None where it has them all."""
        missing = [role for roles in wanted for role in self.missing(roles)]
        return f"the model has no {', '.join(missing)} layers" if missing else None

    def largest_rank(self, wanted: tuple[str, ...]) -> int:
        """The rank that the smallest layer among the roles can have."""
        return min(min(size) for role in self.roles(wanted) for size in self.sizes[role])

    def fewest_outputs(self, wanted: tuple[str, ...]) -> int:
        """The fewest output features of a layer among the roles."""
        return min(size[1] for role in self.roles(wanted) for size in self.sizes[role])
