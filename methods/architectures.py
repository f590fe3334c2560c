"""What a role means in an architecture: the one place that knows the names of a model's layers.

A role is the part that a linear layer plays: q, k, v, o are the projections of attention, up and
down those of the feed-forward part, gate its gate, `linear` a layer of a plain stack. Nothing here
loads torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from records.registry import UnknownNameError, unknown_name

if TYPE_CHECKING:
    from torch import nn

Sizes = dict[str, tuple[tuple[int, int], ...]]
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
    """Role -> which third of a fused projection's outputs it is."""
    embeddings: str | None = None
    """Path of the module that turns tokens into vectors, where there are tokens."""
    has_biases: bool = True
    """Whether any layer outside the head has a bias."""
    has_norms: bool = True
    """Whether there are normalisation layers."""
    reserved_positions: int = 0
    """Positions of the embedding table that no token can take."""
    keys: Keys = Keys()

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


def _roles(block: str, **paths: str) -> dict[str, str]:
    return {role: rf"{block}\.{path}" for role, path in paths.items()}


_BERT_BLOCK = r"(?:.+\.)?encoder\.layer\.\d+"
_FEED_FORWARD = {"up": r"intermediate\.dense", "down": r"output\.dense"}
_BERT = Architecture(
    roles=_roles(
        _BERT_BLOCK,
        q=r"attention\.self\.query",
        k=r"attention\.self\.key",
        v=r"attention\.self\.value",
        o=r"attention\.output\.dense",
        **_FEED_FORWARD,
    ),
    block=_BERT_BLOCK,
    attention=_BERT_BLOCK + r"\.attention\.self",
    embeddings=r"(?:.+\.)?embeddings\.word_embeddings",
    head=("classifier",),
)
_DEBERTA = Architecture(
    roles=_roles(
        _BERT_BLOCK,
        q=r"attention\.self\.query_proj",
        k=r"attention\.self\.key_proj",
        v=r"attention\.self\.value_proj",
        o=r"attention\.output\.dense",
        **_FEED_FORWARD,
    ),
    block=_BERT_BLOCK,
    attention_reason="its disentangled attention does not go through a replaceable function",
    embeddings=_BERT.embeddings,
    head=("pooler", "classifier"),
)
_DISTILBERT_BLOCK = r"(?:.+\.)?transformer\.layer\.\d+"
_DISTILBERT = Architecture(
    roles=_roles(
        _DISTILBERT_BLOCK,
        q=r"attention\.q_lin",
        k=r"attention\.k_lin",
        v=r"attention\.v_lin",
        o=r"attention\.out_lin",
        up=r"ffn\.lin1",
        down=r"ffn\.lin2",
    ),
    block=_DISTILBERT_BLOCK,
    attention=_DISTILBERT_BLOCK + r"\.attention",
    embeddings=r"(?:.+\.)?embeddings\.word_embeddings",
    head=("pre_classifier", "classifier"),
    keys=Keys(hidden="dim", layers=("n_layers",), heads="n_heads", inner="hidden_dim"),
)
_GPT2_BLOCK = r"(?:.+\.)?h\.\d+"
_GPT2 = Architecture(
    roles=_roles(
        _GPT2_BLOCK,
        q=r"attn\.c_attn",
        k=r"attn\.c_attn",
        v=r"attn\.c_attn",
        o=r"attn\.c_proj",
        up=r"mlp\.c_fc",
        down=r"mlp\.c_proj",
    ),
    fused={"q": 0, "k": 1, "v": 2},
    block=_GPT2_BLOCK,
    attention=_GPT2_BLOCK + r"\.attn",
    embeddings=r"(?:.+\.)?wte",
    head=("score",),
    keys=Keys(
        hidden="n_embd", layers=("n_layer",), heads="n_head", inner="n_inner", inner_multiple=4
    ),
)
_LLAMA_BLOCK = r"(?:.+\.)?layers\.\d+"
_LLAMA = Architecture(
    roles=_roles(
        _LLAMA_BLOCK,
        q=r"self_attn\.q_proj",
        k=r"self_attn\.k_proj",
        v=r"self_attn\.v_proj",
        o=r"self_attn\.o_proj",
        up=r"mlp\.up_proj",
        gate=r"mlp\.gate_proj",
        down=r"mlp\.down_proj",
    ),
    block=_LLAMA_BLOCK,
    attention=_LLAMA_BLOCK + r"\.self_attn",
    embeddings=r"(?:.+\.)?embed_tokens",
    has_biases=False,
    head=("score",),
)
_T5_BLOCK = r"(?:.+\.)?(?:encoder|decoder)\.block\.\d+"
_T5_PART = _T5_BLOCK + r"\.layer\.\d"
_T5_ATTENTION = r"(?:SelfAttention|EncDecAttention)"
_T5 = Architecture(
    roles=_roles(
        _T5_PART,
        q=_T5_ATTENTION + r"\.q",
        k=_T5_ATTENTION + r"\.k",
        v=_T5_ATTENTION + r"\.v",
        o=_T5_ATTENTION + r"\.o",
        up=r"DenseReluDense\.wi(?:_1)?",
        gate=r"DenseReluDense\.wi_0",
        down=r"DenseReluDense\.wo",
    ),
    block=_T5_BLOCK,
    attention=rf"{_T5_PART}\.{_T5_ATTENTION}",
    embeddings=r"(?:.+\.)?shared",
    has_biases=False,
    head=("classification_head",),
    keys=Keys(
        hidden="d_model", layers=("num_layers", "num_layers"), heads="num_heads", inner="d_ff"
    ),
)
_BART_BLOCK = r"(?:.+\.)?(?:encoder|decoder)\.layers\.\d+"
_BART_ATTENTION = r"(?:self_attn|encoder_attn)"
_BART = Architecture(
    roles=_roles(
        _BART_BLOCK,
        q=_BART_ATTENTION + r"\.q_proj",
        k=_BART_ATTENTION + r"\.k_proj",
        v=_BART_ATTENTION + r"\.v_proj",
        o=_BART_ATTENTION + r"\.out_proj",
        up="fc1",
        down="fc2",
    ),
    block=_BART_BLOCK,
    attention=rf"{_BART_BLOCK}\.{_BART_ATTENTION}",
    embeddings=r"(?:.+\.)?shared",
    head=("classification_head",),
    keys=Keys(
        hidden="d_model",
        layers=("encoder_layers", "decoder_layers"),
        heads="encoder_attention_heads",
        inner="encoder_ffn_dim",
    ),
)
_WHISPER = Architecture(
    roles=_BART.roles,
    block=_BART.block,
    attention=_BART.attention,
    head=("projector", "classifier"),
    keys=Keys(
        hidden="d_model",
        layers=("encoder_layers",),
        heads="encoder_attention_heads",
        inner="encoder_ffn_dim",
    ),
)
_VIT_BLOCK = r"(?:.+\.)?layers\.\d+"
_VIT = Architecture(
    roles=_roles(
        _VIT_BLOCK,
        q=r"attention\.q_proj",
        k=r"attention\.k_proj",
        v=r"attention\.v_proj",
        o=r"attention\.o_proj",
        up=r"mlp\.fc1",
        down=r"mlp\.fc2",
    ),
    block=_VIT_BLOCK,
    attention=_VIT_BLOCK + r"\.attention",
    head=("classifier",),
)
ARCHITECTURES: Mapping[str, Architecture] = {
    "bart": _BART,
    "bert": _BERT,
    "deberta-v2": _DEBERTA,
    "distilbert": _DISTILBERT,
    "gpt2": _GPT2,
    "linear-stack": LinearStack(
        roles={"linear": r"body\.\d+"}, block=r"body\.\d+", head=("head",), has_norms=False
    ),
    "llama": _LLAMA,
    "qwen2": replace(_LLAMA, has_biases=True),
    "qwen3": _LLAMA,
    "roberta": replace(_BERT, reserved_positions=2),
    "t5": _T5,
    "vit": _VIT,
    "whisper": _WHISPER,
}


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


def describe(configuration: Mapping[str, Any]) -> Shape:
    """The shape of a model from its configuration.

    Raises UnknownNameError for an architecture that is not known here, KeyError for a
    configuration that lacks a size.
    """
    model_type = str(configuration.get("model_type"))
    if model_type not in ARCHITECTURES:
        raise UnknownNameError(unknown_name("architecture", model_type, list(ARCHITECTURES)))
    architecture = ARCHITECTURES[model_type]
    sizes = architecture.sizes(configuration)
    # one family has both kinds of feed-forward part, and its configuration says which
    gated = "gated" in str(configuration.get("feed_forward_proj", "gated"))
    kept = {role: size for role, size in sizes.items() if gated or role != "gate"}
    return Shape(sizes=kept, architecture=architecture)


def architecture_of(model: nn.Module) -> Architecture:
    """The architecture of a live model, by its configuration's model type."""
    config: Any = model.config
    return ARCHITECTURES[config.model_type]
