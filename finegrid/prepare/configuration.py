"""What a model's configuration and tokenizer ask for that no run does. Loads no torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finegrid.models.architectures import ARCHITECTURES
from finegrid.prepare.tokenizer_file import Tokenizer, TokenizerError, read_tokenizer
from finegrid.problems import refused

_CODE = "auto_map"
_NETWORK = "a plain network is no transformers model; allowed: kind: network, with its layers"
_FIRST_TOKEN = ("bert", "roberta")
"""Architectures whose head reads the first token, and which may be turned into decoders."""


def unfit_configuration(configuration: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a configuration of a known architecture asks for that no run does: key, reason."""
    architecture = ARCHITECTURES.get(str(configuration.get("model_type")))
    if architecture is None:
        return
    if architecture.reads == "numbers":
        yield "model_type", refused(configuration["model_type"], _NETWORK)
    if quantised := configuration.get("quantization_config"):
        how = quantised.get("quant_method") if isinstance(quantised, Mapping) else None
        allowed = "weights that are not quantised, and no such key"
        yield "quantization_config", f"the weights are quantised ({how}); allowed: {allowed}"
    if code := configuration.get(_CODE):
        allowed = "allowed: a model of the library's own classes, and no such key"
        yield (
            _CODE,
            refused(code, f"the model brings code of its own, which is never run; {allowed}"),
        )
    yield from _switched(configuration)


def _switched(configuration: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys that would make another model of the architecture than the one that is loaded."""
    model_type = str(configuration["model_type"])
    expected = {"is_encoder_decoder": ARCHITECTURES[model_type].encoder_decoder}
    if model_type in _FIRST_TOKEN:
        expected["is_decoder"] = False  # its first token, which the head reads, would see no other
    for key, value in expected.items():
        if configuration.get(key, value) != value:
            allowed = f"allowed for {model_type}: {str(value).lower()}"
            yield key, refused(configuration[key], allowed)
    kind = configuration.get("position_embedding_type") or "absolute"
    if kind != "absolute":
        reason = 'the library has no such positions any more; allowed: "absolute"'
        yield "position_embedding_type", refused(kind, reason)


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


def check_prepared(folder: Path, configuration: Mapping[str, Any]) -> None:
    """Check a model that is there now, also what no one could know before it was fetched.

    Raises ValueError for a configuration or a tokenizer that is refused.
    """
    for key, reason in unfit_configuration(configuration):
        raise ValueError(f"configuration.{key}: {reason}")
    architecture = ARCHITECTURES.get(str(configuration.get("model_type")))
    if architecture is not None and architecture.reads == "text":
        check_tokenizer({path.name: path for path in folder.iterdir()}, configuration)
