"""What a role means in an architecture: the one place that knows the names of a model's layers.

Nothing here loads torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from finegrid.models.shape import Architecture, Keys, LinearStack, Shape
from finegrid.records.registry import UnknownNameError, unknown_name

if TYPE_CHECKING:
    from torch import nn


def _roles(block: str, **paths: str) -> dict[str, str]:
    return {role: rf"{block}\.{path}" for role, path in paths.items()}


_BERT_BLOCK = r"(?:.+\.)?encoder\.layer\.\d+"
_FEED_FORWARD = {"up": r"intermediate\.dense", "down": r"output\.dense"}
_BESIDE = {"o": "../dropout", "down": "../dropout"}
_ABOVE = {"o": "../../dropout", "down": "../../dropout"}
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
    dropouts=_BESIDE,
    feed_forward_sum=_BERT_BLOCK + r"\.output\.LayerNorm",
    attention=_BERT_BLOCK + r"\.attention\.self",
    embeddings=r"(?:.+\.)?embeddings\.word_embeddings",
    head=("classifier",),
    pooler=True,
    optional=("bert.pooler",),
)
_ROBERTA = replace(_BERT, reserved_positions=2, optional=())
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
    dropouts=_BESIDE,
    feed_forward_sum=_BERT.feed_forward_sum,
    attention_reason="its disentangled attention does not go through a replaceable function",
    embeddings=_BERT.embeddings,
    head=("pooler", "classifier"),
    attention_implementation="eager",
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
    dropouts={"down": "../dropout"},
    feed_forward_sum=_DISTILBERT_BLOCK + r"\.output_layer_norm",
    attention=_DISTILBERT_BLOCK + r"\.attention",
    embeddings=r"(?:.+\.)?embeddings\.word_embeddings",
    head=("pre_classifier", "classifier"),
    keys=Keys(hidden="dim", layers=("n_layers",), heads="n_heads", inner="hidden_dim"),
)
_THIRDS = {"q": 0, "k": 1, "v": 2}
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
    fused=_THIRDS,
    transposed=True,
    block=_GPT2_BLOCK,
    dropouts={"o": "../resid_dropout", "down": "../dropout"},
    feed_forward_sum=_GPT2_BLOCK,
    attention=_GPT2_BLOCK + r"\.attn",
    embeddings=r"(?:.+\.)?wte",
    head=("score",),
    causal=True,
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
    feed_forward_sum=_LLAMA_BLOCK,
    attention=_LLAMA_BLOCK + r"\.self_attn",
    embeddings=r"(?:.+\.)?embed_tokens",
    has_biases=False,
    head=("score",),
    causal=True,
)
_GEMMA3 = replace(
    _LLAMA,
    ends={"o": "../../post_attention_layernorm", "down": "../../post_feedforward_layernorm"},
)
_MODERNBERT_BLOCK = r"(?:.+\.)?layers\.\d+"
_MODERNBERT = Architecture(
    # What the library calls the input of its gated unit goes through the activation: the gate
    # elsewhere. The first half is that, the second is multiplied as it is.
    roles=_roles(
        _MODERNBERT_BLOCK,
        q=r"attn\.Wqkv",
        k=r"attn\.Wqkv",
        v=r"attn\.Wqkv",
        o=r"attn\.Wo",
        up=r"mlp\.Wi",
        gate=r"mlp\.Wi",
        down=r"mlp\.Wo",
    ),
    fused=_THIRDS | {"gate": 0, "up": 1},
    block=_MODERNBERT_BLOCK,
    dropouts={"o": "../out_drop"},
    feed_forward_sum=_MODERNBERT_BLOCK,
    attention=_MODERNBERT_BLOCK + r"\.attn",
    embeddings=r"(?:.+\.)?embeddings\.tok_embeddings",
    has_biases=False,
    head=("classifier",),
    optional=("head",),  # it comes with the weights of masked modelling, if at all
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
    dropouts=_ABOVE,
    feed_forward_sum=r"(?:.+\.)?(?:encoder\.block\.\d+\.layer\.1|decoder\.block\.\d+\.layer\.2)",
    attention=rf"{_T5_PART}\.{_T5_ATTENTION}",
    embeddings=r"(?:.+\.)?shared",
    has_biases=False,
    head=("classification_head",),
    encoder_decoder=True,
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
    dropouts={"o": "../../dropout", "down": "../dropout"},
    feed_forward_sum=_BART_BLOCK + r"\.final_layer_norm",
    attention=rf"{_BART_BLOCK}\.{_BART_ATTENTION}",
    embeddings=r"(?:.+\.)?shared",
    head=("classification_head",),
    encoder_decoder=True,
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
    dropouts=_BART.dropouts,
    feed_forward_sum=_BART.block,
    attention=_BART.attention,
    head=("projector", "classifier"),
    reads="speech",
    encoder_decoder=True,
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
    dropouts=_ABOVE,
    feed_forward_sum=_VIT_BLOCK,
    attention=_VIT_BLOCK + r"\.attention",
    head=("classifier",),
    reads="images",
)
ARCHITECTURES: Mapping[str, Architecture] = {
    "bart": _BART,
    "bert": _BERT,
    "deberta-v2": _DEBERTA,
    "distilbert": _DISTILBERT,
    "gemma3_text": _GEMMA3,
    "gpt2": _GPT2,
    "linear-stack": LinearStack(
        roles={"linear": r"body\.\d+"},
        block=r"body\.\d+",
        head=("head",),
        has_norms=False,
        reads="numbers",
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "modernbert": _MODERNBERT,
    "qwen2": replace(_LLAMA, has_biases=True),
    "qwen3": _LLAMA,
    "roberta": _ROBERTA,
    "t5": _T5,
    "vit": _VIT,
    "whisper": _WHISPER,
    "xlm-roberta": _ROBERTA,
}


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


def attention_implementation(config: Any) -> str:
    """What a transformers model is loaded or made with, by its configuration's model type."""
    return ARCHITECTURES[config.model_type].attention_implementation
