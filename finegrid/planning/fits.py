"""What does not go together: a model with a task, and with how it is trained.

All of it is known from the benchmark and from local files before any job starts. Loads no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from finegrid.metrics.registry import reads
from finegrid.models.coverage import LINEAR
from finegrid.problems import refused
from finegrid.records.specification import Model, keeps_head
from finegrid.records.training import Training, is_quantised
from kinds.contract import Kind
from kinds.outputs.cross_entropy import CrossEntropy
from kinds.registry import KINDS, kind_named
from methods.contract import Method

if TYPE_CHECKING:
    from finegrid.planning.catalogue import ModelPlan, TaskPlan

_LENGTH = ("training", "max_length")
_SMOOTHING = ("training", "label_smoothing")
_BATCH_NORM = (
    "has batch norms, such as {}: what it learns of an example depends on the others of its batch, "
    "and their statistics change whatever a method freezes; allowed: models without"
)
_MISSING = (
    "bitsandbytes holds a base so, and it is not installed: pip install 'finegrid[quantised]'; "
    "allowed: fp32, bf16, fp16"
)
Mismatch = tuple[tuple[str, ...] | None, str]
"""Where in a variant it stands, None for the grid as a whole; and what is wrong."""


def mismatches(
    task: TaskPlan, model: ModelPlan, training: Training, method: Method
) -> Iterator[Mismatch]:
    """Why a model cannot be trained on a task, or not in that way."""
    record, name = model.record, f"model {model.record.name!r}"
    if problem := unread(model.anatomy.reads, task):
        yield None, f"{name} {problem}"
    elif norm := model.anatomy.batch_norm:
        yield None, f"{name} {_BATCH_NORM.format(norm)}"
    elif problem := wrong_size(record, task) or _kind(task).inputs.unfit(record, model.anatomy):
        yield None, f"{name}: {problem}"
    else:
        if kind_named(task.task.kind).inputs.unit == "token":
            yield from _wrong_length(model, training.max_length, method)
            yield from _no_room(task, model, training.max_length, method)
        yield from _unsaid_length(task, record, training)
        yield from _unwritten(task, training, method)
        yield from _small_micro_batches(task, record, training)
    if is_quantised(training.weights) and find_spec("bitsandbytes") is None:
        yield None, f"training.weights: {refused(training.weights, _MISSING)}"
    if problem := method.weights_problem(training.weights) or _unquantised(model, training):
        yield ("training", "weights"), refused(training.weights, problem)
    yield from _undivided(training, method)
    yield from _unknown_token(model, method)
    yield from _untrained_head(task, model, method)
    yield from _unknown_groups(model, training, method)
    if problem := unsmoothed(task, training):
        yield _SMOOTHING, problem
    for key, why in record.unusable.items():
        value, default = getattr(training, key), Training.model_fields[key].default
        if value != default:
            allowed = f"{name} {why}; allowed: {json.dumps(default)}"
            yield ("training", key), refused(value, allowed)


def _untrained_head(task: TaskPlan, model: ModelPlan, method: Method) -> Iterator[Mismatch]:
    """A head that is drawn anew where nothing trains it."""
    if not method.trains and model.anatomy.head and not keeps_head(model.record):
        named = f"model {model.record.name!r} has a head that is new to task {task.record.name!r}"
        allowed = "allowed: head: keep, or models without a new head"
        yield ("method",), f"nothing is trained, and {named}; {allowed}"


def _undivided(training: Training, method: Method) -> Iterator[Mismatch]:
    """A method that needs the whole model on each device."""
    if training.strategy == "fsdp" and (problem := method.sharded_problem):
        yield ("training", "strategy"), refused("fsdp", f"{problem}; allowed: ddp")


def _unknown_token(model: ModelPlan, method: Method) -> Iterator[Mismatch]:
    """A token that the vocabulary does not have, where the configuration says how large it is."""
    token, size = method.largest_token, model.record.configuration.get("vocab_size")
    if token is not None and isinstance(size, int) and token >= size:
        allowed = f"model {model.record.name!r} has {size} tokens; allowed: 0 to {size - 1}"
        yield ("settings",), refused(token, allowed)


def _unquantised(model: ModelPlan, training: Training) -> str | None:
    """Why the linear layers of a base cannot be held in codes, or None where they can."""
    if not is_quantised(training.weights):
        return None
    if any(part.stored in LINEAR for part in model.anatomy.parts):
        return None
    name = f"model {model.record.name!r}"
    return f"{name} has no linear layers in its blocks; allowed: fp32, bf16, fp16"


def _unwritten(task: TaskPlan, training: Training, method: Method) -> Iterator[Mismatch]:
    """What does not go with packed examples, or with texts that a model writes."""
    kind, name = _kind(task), f"task {task.record.name!r}"
    if method.positions and kind.inputs.packs:
        reason = f"the method takes {method.positions} positions, once a row of packed examples"
        yield ("method",), f"{reason}; allowed: encoding.packing: false for {name}"
    if training.strategy == "fsdp" and reads(task.task.metrics, kind.output.written):
        reason = f"a model that is divided writes no texts, which metrics of {name} read"
        yield ("training", "strategy"), refused("fsdp", f"{reason}; allowed: ddp")


def _kind(task: TaskPlan) -> Kind:
    """The kind of a task, with what the task says of it."""
    return kind_named(task.task.kind, task.task.kind_options)


def _unknown_groups(model: ModelPlan, training: Training, method: Method) -> Iterator[Mismatch]:
    """A group with a learning rate of its own of which nothing is trained."""
    heads = ("head",) if method.trains and model.anatomy.head else ()
    known = (*heads, *method.trained_groups)
    for name in training.learning_rates:
        if name not in known:
            reason = f"nothing of that name is trained of model {model.record.name!r}"
            allowed = f"{reason}; allowed: {', '.join(known) or 'none'}"
            yield ("training", "learning_rates"), refused(name, allowed)


def unsmoothed(task: TaskPlan, training: Training) -> str | None:
    """Why the targets of a task cannot be smoothed, or None where they can or are not."""
    if not training.label_smoothing or isinstance(_kind(task).output, CrossEntropy):
        return None
    reason = f"task {task.record.name!r} of kind {task.task.kind} is learnt by no cross-entropy"
    return refused(training.label_smoothing, f"{reason}; allowed: 0")


def unread(reads: str, task: TaskPlan) -> str | None:
    """Why a model that reads this modality cannot read a task, or None."""
    kind = task.task.kind
    if kind_named(kind).inputs.modality == reads:
        return None
    allowed = [name for name in KINDS if kind_named(name).inputs.modality == reads]
    shown = f"tasks of kind {', '.join(allowed)}" if allowed else "none, as no kind has such inputs"
    return f"reads {reads}, and task {task.record.name!r} is of kind {kind}; allowed: {shown}"


def wrong_size(record: Model, task: TaskPlan) -> str | None:
    """Why a model whose inputs or outputs are of a fixed number cannot learn a task, or None."""
    name, size = f"task {task.record.name!r}", task.task.input_size
    found = record.input_size
    if found is not None and size is not None and found != size:
        return f"layers start with {found}, {name} has inputs of {size}; allowed: {size}"
    width, found = kind_named(task.task.kind).output.width(task.task.labels), record.output_size
    if found is not None and found != width:
        return f"layers end in {found}, {name} takes {width}; allowed: {width}"
    return None


def _unsaid_length(task: TaskPlan, record: Model, training: Training) -> Iterator[Mismatch]:
    """A length that the benchmark does not say, where the default is one of texts alone."""
    counted = kind_named(task.task.kind).inputs.counts(record)
    if counted and _LENGTH[-1] not in training.model_fields_set:
        allowed = "allowed: a whole number from 1"
        yield _LENGTH, f"this key is required: the {counted} to hear at the most; {allowed}"


def _small_micro_batches(task: TaskPlan, record: Model, training: Training) -> Iterator[Mismatch]:
    """A micro-batch that would not hold the longest example that may be."""
    inputs, units = _kind(task).inputs, training.micro_batch_units
    longest = inputs.longest(training.max_length, record)
    if units is not None and units < longest:
        reason = f"an example of task {task.record.name!r} may have {longest} {inputs.unit}s"
        where = ("training", "micro_batch_units")
        yield where, refused(units, f"{reason}; allowed: {longest} or more")


def _no_room(task: TaskPlan, model: ModelPlan, length: int, method: Method) -> Iterator[Mismatch]:
    """Too few positions for what a model may write after the longest prompt, if it writes."""
    output = _kind(task).output
    limit, most = model.anatomy.positions, output.most_written
    if limit is None or not reads(task.task.metrics, output.written):
        return
    room = limit - method.positions
    if length <= room < length - 1 + most:  # a longer one is refused as such
        name = f"model {model.record.name!r}"
        reason = f"{name} has {room} positions, and writes up to {most} tokens after a prompt"
        allowed = f"allowed: up to {room - most + 1}, or a smaller decoding.max_new_tokens"
        yield _LENGTH, refused(length, f"{reason}; {allowed}")


def _wrong_length(model: ModelPlan, max_length: int, method: Method) -> Iterator[Mismatch]:
    """A length that leaves no token of a text, or that is above the positions left for it."""
    name, special = f"model {model.record.name!r}", model.special_tokens
    limit = model.anatomy.positions
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
