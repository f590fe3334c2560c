"""What a model's configuration and tokenizer ask for that no run does. Loads no torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finegrid.prepare.tokenizer_file import Tokenizer, TokenizerError, read_tokenizer
from finegrid.problems import refused

_CODE = "auto_map"
_SLICED = "slow_but_exact"
"""Bloom's key for sums in the order of the machines that it was pretrained on."""
_COUNTS = (
    *("vocab_size", "max_position_embeddings", "n_positions", "hidden_size", "num_hidden_layers"),
    *("num_attention_heads", "intermediate_size", "dim", "n_layers", "n_heads", "hidden_dim"),
    *("n_embd", "n_layer", "n_head", "d_model", "d_ff", "num_layers", "num_heads"),
    *("encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"),
    *("encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim"),
)
"""Keys of a configuration that hold a whole number where they are there."""


def unfit_configuration(configuration: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a configuration asks for that no run does: key, reason."""
    if quantised := configuration.get("quantization_config"):
        how = quantised.get("quant_method") if isinstance(quantised, Mapping) else None
        allowed = "weights that are not quantised, and no such key"
        yield "quantization_config", f"the weights are quantised ({how}); allowed: {allowed}"
    if configuration.get(_SLICED) and (configuration.get("pretraining_tp") or 1) > 1:
        reason = "slices of weights pass round their layers, where methods are; allowed: false"
        yield _SLICED, refused(True, reason)
    if code := configuration.get(_CODE):
        allowed = "allowed: a model of the library's own classes, and no such key"
        yield (
            _CODE,
            refused(code, f"the model brings code of its own, which is never run; {allowed}"),
        )


def check_tokenizer(files: Mapping[str, Path], configuration: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer in a model's files. Raises TokenizerError for one that the model cannot use."""
    found = read_tokenizer(files)
    rows = configuration.get("vocab_size")
    if found.largest_id is not None and isinstance(rows, int) and found.largest_id >= rows:
        raise TokenizerError(
            f"the tokenizer has ids up to {found.largest_id}, the model's vocab_size is {rows}; "
            f"allowed: ids up to {rows - 1}, or embeddings resized to {found.largest_id + 1} rows"
        )
    return found


def wrong_sizes(configuration: Mapping[str, Any]) -> Iterator[str]:
    """The keys of a configuration that hold no size; what else the library may take is its own."""
    for key in _COUNTS:
        size = configuration.get(key, 1)
        if isinstance(size, str | bool | float) or (isinstance(size, int) and size < 1):
            yield key
