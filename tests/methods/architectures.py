"""A tiny model of every architecture, by model type. A new architecture is one line in `TINY`."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
)

from finegrid.models.anatomy import Anatomy
from finegrid.models.live import anatomy_of
from finegrid.models.network import LinearStack
from finegrid.models.pooling import attention_implementation
from tests.methods.mould import Mould

Options = dict[str, Any]
CLASSES = 3
_WIDTHS = (32, 64, 64, CLASSES)
_VOCABULARY, _BATCH, _LENGTH = 40, 6, 9
_PAD, _END = 1, 2


def transformer(
    model_type: str,
    head: Any = AutoModelForSequenceClassification,
    **options: Any,
) -> nn.Module:
    """A transformers classifier with 64 features, two blocks and two heads."""
    sizes: Options = {
        "vocab_size": _VOCABULARY,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 96,
        "max_position_embeddings": 32,
    }
    config = AutoConfig.for_model(model_type, num_labels=CLASSES, **(sizes | options))
    attention = attention_implementation(head._model_mapping[type(config)])
    model: nn.Module = head.from_config(config, attn_implementation=attention)
    return model


IMAGES: Options = {"image_size": 8, "patch_size": 4, "num_channels": 1}
SPEECH: Options = {
    "num_mel_bins": 8,
    "max_source_positions": _LENGTH,
    "classifier_proj_size": 16,
}
_GROUPED: Options = {"num_key_value_heads": 1, "pad_token_id": _PAD}
SEQ2SEQ: Options = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
}
T5: Options = {
    "d_model": 64,
    "d_kv": 32,
    "d_ff": 96,
    "num_layers": 2,
    "num_heads": 2,
    "decoder_start_token_id": 0,
}
_WINDOWS: Options = {"layer_types": ["sliding_attention", "full_attention"]}
_ENDS: Options = dict.fromkeys([f"{key}_token_id" for key in ("bos", "cls", "eos", "sep")], _END)
TINY: dict[str, Callable[[], nn.Module]] = {
    "bart": lambda: transformer("bart", **SEQ2SEQ, eos_token_id=_END, pad_token_id=_PAD),
    "bert": lambda: transformer("bert"),
    "deberta-v2": lambda: transformer(
        "deberta-v2", relative_attention=True, pos_att_type=["p2c", "c2p"]
    ),
    "distilbert": lambda: transformer("distilbert", dim=64, n_layers=2, n_heads=2, hidden_dim=96),
    "gemma3_text": lambda: transformer(
        "gemma3_text", **_GROUPED, **_WINDOWS, head_dim=16, sliding_window=4
    ),
    "gpt2": lambda: transformer("gpt2", n_embd=64, n_layer=2, n_head=2, pad_token_id=_PAD),
    "linear-stack": lambda: LinearStack(_WIDTHS),
    "llama": lambda: transformer("llama", **_GROUPED),
    "mistral": lambda: transformer("mistral", **_GROUPED, head_dim=16, sliding_window=4),
    "modernbert": lambda: transformer(
        "modernbert",
        **_WINDOWS,
        local_attention=4,
        classifier_pooling="mean",
        pad_token_id=_PAD,
        **_ENDS,
    ),
    "qwen2": lambda: transformer("qwen2", **_GROUPED),
    "qwen3": lambda: transformer("qwen3", **_GROUPED, head_dim=16),
    "roberta": lambda: transformer("roberta"),
    "t5": lambda: transformer("t5", **T5, feed_forward_proj="gated-gelu", eos_token_id=_END),
    "vit": lambda: transformer("vit", AutoModelForImageClassification, **IMAGES),
    "whisper": lambda: transformer(
        "whisper",
        AutoModelForAudioClassification,
        **SEQ2SEQ,
        **SPEECH,
    ),
    "xlm-roberta": lambda: transformer("xlm-roberta"),
}


def tiny(model_type: str, seed: int = 0) -> nn.Module:
    """The model with weights of that seed, without dropout: in evaluation mode."""
    return _mould(model_type, seed).cast()


@cache
def _mould(model_type: str, seed: int) -> Mould:
    """Thousands of tests need a copy of one of few, each with its anatomy."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TINY[model_type]().eval()
    anatomy_of(model)
    return Mould(model)


@cache
def anatomy(model_type: str) -> Anatomy:
    """What methods may know of the model before it is loaded."""
    return anatomy_of(tiny(model_type))


def inputs(model_type: str) -> dict[str, torch.Tensor]:
    """A batch for the model, with padding where there are tokens."""
    draw = torch.Generator().manual_seed(1)
    if model_type == "linear-stack":
        return {"features": torch.rand(_BATCH, _WIDTHS[0], generator=draw)}
    if model_type == "vit":
        return {"pixel_values": torch.rand(_BATCH, 1, 8, 8, generator=draw)}
    if model_type == "whisper":
        return {"input_features": torch.rand(_BATCH, 8, 2 * _LENGTH, generator=draw)}
    tokens = torch.randint(3, _VOCABULARY, (_BATCH, _LENGTH), generator=draw)
    mask = torch.ones_like(tokens)
    for row in range(_BATCH):
        mask[row, _LENGTH - row :] = 0
        tokens[row, _LENGTH - row :] = _PAD
        tokens[row, _LENGTH - row - 1] = _END
    return {"input_ids": tokens, "attention_mask": mask}


def labels() -> torch.Tensor:
    """Classes for the batch."""
    return torch.arange(_BATCH) % CLASSES


def logits(model: nn.Module, model_type: str) -> torch.Tensor:
    """The model's output on its batch."""
    dtype = next(model.parameters()).dtype
    batch = {n: t.to(dtype) if t.is_floating_point() else t for n, t in inputs(model_type).items()}
    output: torch.Tensor = model(**batch).logits
    return output
