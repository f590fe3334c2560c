"""What does not go together: a model with a task, and with how it is trained.

All of it is known from the benchmark and from local files before any job starts. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from finegrid.models.positions import positions
from finegrid.problems import refused
from finegrid.records.prepared import VECTOR_COLUMNS
from finegrid.records.specification import Network, Training
from methods.contract import Method

if TYPE_CHECKING:
    from finegrid.planning.catalogue import ModelPlan, TaskPlan

_LENGTH = ("training", "max_length")
Mismatch = tuple[tuple[str, ...] | None, str]
"""Where in a variant it stands, None for the grid as a whole; and what is wrong."""


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
