"""What does not go together: a model with itself, with a task, with how it is trained.

All of it is known from the benchmark and from local files before any job starts. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finegrid.models.architectures import ARCHITECTURES
from methods.contract import Method
from finegrid.models.positions import positions
from finegrid.records.prepared import VECTOR_COLUMNS
from finegrid.records.specification import Network, Training
from finegrid.problems import refused
from finegrid.prepare.tokenizer_file import Tokenizer, TokenizerError, read_tokenizer

if TYPE_CHECKING:
    from finegrid.planning.catalogue import ModelPlan, TaskPlan

_CODE = "auto_map"
_NETWORK = "a plain network is no transformers model; allowed: kind: network, with its layers"
_FIRST_TOKEN = ("bert", "roberta")
"""Architectures whose head reads the first token, and which may be turned into decoders."""
_LENGTH = ("training", "max_length")
Mismatch = tuple[tuple[str, ...] | None, str]
"""Where in a variant it stands, None for the grid as a whole; and what is wrong."""


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


def mismatches(
    task: TaskPlan, model: ModelPlan, training: Training, method: Method
) -> Iterator[Mismatch]:
    """Why a model cannot be trained on a task, or not in that way."""
    record, reads, kind = model.record, model.shape.architecture.reads, task.task.kind
    name, data = f"model {record.name!r}", f"task {task.record.name!r} is of kind {kind}"
    if isinstance(record, Network):
        yield from _network_mismatches(record, task, training)
    elif reads != "text":
        allowed = "allowed: none of the tasks that there are, whose inputs are texts or plain rows"
        yield None, f"{name} reads {reads} as transformers prepares them, and {data}; {allowed}"
    elif kind in VECTOR_COLUMNS:
        yield None, f"{name} reads text, and {data}"
    else:
        yield from _wrong_length(model, training.max_length, method)


def _network_mismatches(record: Network, task: TaskPlan, training: Training) -> Iterator[Mismatch]:
    name = f"model {record.name!r}"
    if problem := network_mismatch(record.layers, task):
        yield None, f"{name}: {problem}"
    if training.dropout is not None:
        allowed = f"{name} has no such layer; allowed: null"
        yield ("training", "dropout"), refused(training.dropout, allowed)
    if training.gradient_checkpointing:
        allowed = f"{name} has no blocks; allowed: false"
        yield ("training", "gradient_checkpointing"), refused(True, allowed)


def network_mismatch(layers: tuple[int, ...], task: TaskPlan) -> str | None:
    """Why a plain network of those widths cannot learn a task, or None."""
    name, size, labels = task.record.name, task.task.input_size, len(task.task.labels)
    if task.task.kind not in VECTOR_COLUMNS:
        return f"a plain network cannot learn task {name!r} of kind {task.task.kind}"
    if size is not None and layers[0] != size:
        return f"layers start with {layers[0]}, task {name!r} has inputs of {size}; allowed: {size}"
    if not labels and layers[-1] != 1:
        return f"layers end in {layers[-1]}, task {name!r} is a regression; allowed: 1"
    if labels and layers[-1] != labels:
        return f"layers end in {layers[-1]}, task {name!r} has {labels} labels; allowed: {labels}"
    return None


def _wrong_length(model: ModelPlan, max_length: int, method: Method) -> Iterator[Mismatch]:
    """A length that leaves no token of a text, or that is above the positions left for it."""
    configuration, name = model.record.configuration, f"model {model.record.name!r}"
    special = model.special_tokens
    limit = positions(configuration, whole=model.is_whole)
    if limit is not None and limit - method.positions <= special:
        reason = f"the method takes {method.positions} positions, {name} has {limit}"
        yield ("settings",), f"{reason}; allowed: at most {limit - special - 1}"
    elif limit is not None and max_length > limit - method.positions:
        taken = f", of which the method takes {method.positions}" if method.positions else ""
        allowed = f"allowed: {special + 1} to {limit - method.positions}"
        yield _LENGTH, refused(max_length, f"{name} has {limit} positions{taken}; {allowed}")
    elif max_length <= special:
        allowed = f"allowed: {special + 1} or more"
        reason = f"{name} puts {special} special tokens about every text"
        yield _LENGTH, refused(max_length, f"{reason}; {allowed}")
