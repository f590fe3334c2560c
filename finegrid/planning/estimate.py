"""What a run asks of a scheduler: bounds by arithmetic on its specification. Loads no torch.

They bound what a run takes on its first attempt without being tight: a scheduler ends a job that
takes more than it asked for. A trace says what a step really takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from finegrid.models.anatomy import Anatomy
from finegrid.models.coverage import LINEAR
from finegrid.records.prepared import SPLITS, PreparedTask, SplitName
from finegrid.records.specification import Model, Specification
from finegrid.records.training import Training, accumulates, is_quantised, largest_share
from kinds.contract import Kind
from kinds.registry import kind_named
from methods.registry import METHODS
from tasks.registry import kind_of

_FLOAT_BYTES = 4
_MEGABYTE = 1_000_000
PROCESS_MEGABYTES = {"cpu": 1000, "mps": 1000, "cuda": 4000}
"""The process with its libraries and no tensor in it, by device."""
_FRAGMENTATION = 1.5
"""What the allocator of the host holds, in what it was asked for."""
_ADDED_SHARE = 0.25
"""Of a frozen base's size, what a method may add to it."""
_ADDED_AT_LEAST = 500_000
"""Numbers that a method may add to any base: in a small one a rank may be a matrix's own."""
_CODED_SHARE = {"int8": 0.27, "nf4": 0.15}
"""Of a matrix in fp32, what its codes take with their constants."""
_METHOD_ACTIVATIONS = 1.5
"""Activations of a step with any method, in those of the base model."""
_LOGITS_TRAINED, _LOGITS_EVALUATED = 4, 2
"""Copies of the logits of a batch: in both types, their softmax, and their gradient."""
_OPTIMIZER_STATES = {"adamw": 2, "adam": 2, "sgd": 1}
"""Numbers that an optimizer keeps for each that it trains."""
_KEPT_STATES = 2
"""Copies on the host of what is trained, while a new best state takes the place of the last."""
_LARGEST_VOCABULARY = 262_144
"""Of the models in use, in tokens."""
_START_MINUTES = 10
"""Start, evaluation of metrics, probe and records."""
FETCHING_MINUTES = 60
"""Of a base model that is not pretrained here: as the profiles give to the short jobs."""
_ENCODED_BYTES_PER_SECOND = 1e5
"""Of a prepared task's files, what one core encodes at the least."""
_ENCODING_FACTOR = 2
"""What encoding holds of a file that it reads, at the most: it is written in few pieces."""
_OPERATIONS_PER_SECOND = {"cpu": 1e10, "mps": 1e12, "cuda": 1e13}
"""What small batches reach at the least: of one thread, or of one device."""
_NOMINAL_UNITS: Mapping[SplitName, int] = {"train": 100_000, "validation": 20_000, "test": 20_000}
"""Of a task that is not prepared yet."""
_TRAINED_FACTOR, _FROZEN_FACTOR, _FORWARD_FACTOR = 6, 4, 2
"""Operations for each token and parameter: a backward pass takes as much as a forward pass for the
inputs, and the same again for the parameters (Kaplan et al. 2020, arXiv:2001.08361, section 2.1).
"""


@dataclass(frozen=True)
class Data:
    """How much a prepared task holds, by split: examples, and bytes of its files."""

    kind: Kind
    examples: Mapping[SplitName, int]
    file_bytes: Mapping[SplitName, int]


class Bound(Protocol):
    """A figure that a run stays below."""

    def __call__(
        self, spec: Specification, anatomy: Anatomy, *, trains_base: bool, data: Data
    ) -> int:
        """The bound of a run with a method that trains the base's own matrices, or does not."""


def read_data(manifest_file: Path) -> Data:
    """The size of a prepared task. Raises FileNotFoundError before it is prepared.

    Raises UnknownNameError for a kind that is not registered.
    """
    manifest, folder = PreparedTask.read(manifest_file), manifest_file.parent
    examples = {name: split.n for name, split in manifest.splits.items()}
    files = {name: (folder / f"{name}.parquet").stat().st_size for name in manifest.splits}
    return Data(kind_named(manifest.kind, manifest.kind_options), examples, files)


def base_parameters(model: Model, anatomy: Anatomy) -> int:
    """Weights and biases of the base model with its head, within a few in a hundred.

    Exact for a network. Where a configuration does not say how many tokens there are, a bound.
    """
    computed = computed_parameters(model, anatomy)
    if model.widths is not None:
        return computed
    if anatomy.embeddings is None:
        return anatomy.other_weights + computed
    tables = _vocabulary(model) * _width(model, anatomy)
    if not anatomy.head and "vocab_size" not in model.configuration:
        tables *= 2  # of a head that writes
    return tables + anatomy.other_weights + computed


def _vocabulary(model: Model) -> int:
    """How many tokens a model knows, or a bound."""
    return int(str(model.configuration.get("vocab_size", _LARGEST_VOCABULARY)))


def memory_megabytes(
    spec: Specification, anatomy: Anatomy, *, trains_base: bool, data: Data
) -> int:
    """A bound of what the processes of a run take of a host's memory, in megabytes."""
    training = spec.training
    device, devices = training.device, training.devices_per_node
    kept = _kept_bytes(spec, anatomy, trains_base=trains_base)
    held = _data_bytes(spec, data) + _FRAGMENTATION * kept
    if device == "cpu":
        step = device_bytes(spec, anatomy, trains_base=trains_base)
        # a base is loaded whole before it is quantised
        loaded = _loaded_bytes(spec, anatomy) if is_quantised(training.weights) else 0
        held += _FRAGMENTATION * max(step, loaded)
    elif training.strategy == "ddp":
        held += _loaded_bytes(spec, anatomy)
    whole = _whole_bytes(spec, anatomy, trains_base=trains_base)
    # With the one that starts the others, and on each of several nodes one more.
    starting = 0 if training.devices == 1 else 1 if training.nodes == 1 else 2
    processes = (devices + starting) * PROCESS_MEGABYTES[device]
    return processes + math.ceil((devices * held + whole) / _MEGABYTE)


def making_megabytes(model: Model, anatomy: Anatomy) -> int:
    """A bound of what it takes of the host's memory to make a base model, in megabytes."""
    device = model.pretraining.training.device if model.pretraining else "cpu"
    # Weights, gradients, two states of an optimizer and two kept states.
    return PROCESS_MEGABYTES[device] + math.ceil(
        6 * base_parameters(model, anatomy) * _FLOAT_BYTES / _MEGABYTE
    )


def encoding_megabytes(data: Data) -> int:
    """A bound of what it takes of the host's memory to encode a prepared task, in megabytes."""
    held = _ENCODING_FACTOR * max(data.file_bytes.values())
    return PROCESS_MEGABYTES["cpu"] + math.ceil(held / _MEGABYTE)


def encoding_minutes(data: Data) -> int:
    """A bound of the minutes that it takes to encode a prepared task."""
    seconds = sum(data.file_bytes.values()) / _ENCODED_BYTES_PER_SECOND
    return _START_MINUTES + math.ceil(seconds / 60)


def device_bytes(spec: Specification, anatomy: Anatomy, *, trains_base: bool) -> int:
    """A bound of the live tensors of a training step on one device, in bytes."""
    training = spec.training
    states = 1 + _OPTIMIZER_STATES[training.optimizer.name]
    longest = kind_of(spec.task).inputs.longest(training.max_length, spec.model)
    adds_up = accumulates(training, longest)
    if training.strategy == "ddp" and training.devices > 1 and adds_up:
        states += 1  # gradients add up beside what the devices exchange them in
    numbers = _held(spec, anatomy) + _converted(spec, anatomy)
    numbers += states * _trained(spec, anatomy, trains_base=trains_base)
    if training.strategy == "fsdp":
        numbers = numbers / training.devices
        numbers += _gathered(spec, anatomy, trains_base=trains_base)
    return math.ceil(_FLOAT_BYTES * (numbers + _activations(spec, anatomy)))


def _converted(spec: Specification, anatomy: Anatomy) -> float:
    """Numbers in fp32 that copies of weights take: autocast keeps them in both types.

    Of codes one layer at a time is de-quantised.
    """
    training, parameters = spec.training, base_parameters(spec.model, anatomy)
    share = 0.5 if training.dtype == "bf16" != training.weights else 0
    if not is_quantised(training.weights):
        return share * parameters
    layers = [part.parameters for part in anatomy.parts if part.stored in LINEAR]
    return share * (parameters - sum(layers)) + 2 * max(layers, default=0)


def _trained(spec: Specification, anatomy: Anatomy, *, trains_base: bool) -> float:
    """Numbers in fp32 that what a method trains takes, at the most."""
    if trains_base:
        return _held(spec, anatomy)
    return max(_ADDED_SHARE * base_parameters(spec.model, anatomy), _ADDED_AT_LEAST)


def _held(spec: Specification, anatomy: Anatomy) -> float:
    """Numbers in fp32 that take as much as the base does: matrices and tables may take half.

    Of a quantised base it is the linear layers that take less.
    """
    parameters = base_parameters(spec.model, anatomy)
    if spec.training.weights == "fp32":
        return parameters
    if is_quantised(spec.training.weights):
        coded = sum(part.parameters for part in anatomy.parts if part.stored in LINEAR)
        return parameters - (1 - _CODED_SHARE[spec.training.weights]) * coded
    tables = parameters - computed_parameters(spec.model, anatomy)
    return parameters - (anatomy.block_weights + tables) / 2


def _kept_bytes(spec: Specification, anatomy: Anatomy, *, trains_base: bool) -> float:
    """Of the best states on the host; each device's share of them under fsdp."""
    shards = spec.training.devices if spec.training.strategy == "fsdp" else 1
    return _KEPT_STATES * _FLOAT_BYTES * _trained(spec, anatomy, trains_base=trains_base) / shards


def _loaded_bytes(spec: Specification, anatomy: Anatomy) -> float:
    """Of the file, and of the model on its way to the device."""
    return _FLOAT_BYTES * (base_parameters(spec.model, anatomy) + _held(spec, anatomy))


def _whole_bytes(spec: Specification, anatomy: Anatomy, *, trains_base: bool) -> float:
    """Of a divided model, what is whole on a node, which may be that of the first process.

    That one loads the base, with methods that read it all processes do; later it gathers what a
    checkpoint holds: what is trained, its best state and the optimizer's.
    """
    training = spec.training
    if training.strategy == "ddp":
        return 0
    reads = METHODS.get(spec.variant.method).reads_weights
    loaded = (training.devices_per_node if reads else 1) * _loaded_bytes(spec, anatomy)
    states = 2 + _OPTIMIZER_STATES[training.optimizer.name]
    return max(loaded, _FLOAT_BYTES * states * _trained(spec, anatomy, trains_base=trains_base))


def _gathered(spec: Specification, anatomy: Anatomy, *, trains_base: bool) -> float:
    """Numbers in fp32 that take as much as what a device gathers of a divided model.

    Gathering takes a part twice, in what is received and as weights, until the next part is there.
    Where the base is trained, what is left with the model is whole as weights and gradients beside
    three times a block.
    """
    parameters = base_parameters(spec.model, anatomy)
    rest, block = parameters - anatomy.block_weights, 0.0
    if anatomy.blocks:
        block = anatomy.block_weights / len(anatomy.blocks)
    numbers = rest + 2 * block + max(rest, block)
    if trains_base:
        numbers = 2 * rest + 3 * block
    return numbers * _held(spec, anatomy) / parameters


def runtime_minutes(spec: Specification, anatomy: Anatomy, *, trains_base: bool, data: Data) -> int:
    """A bound of the minutes of a run. Devices that share it may be no faster than one."""
    return training_minutes(spec.model, anatomy, spec.training, trains_base=trains_base, data=data)


def training_minutes(
    model: Model, anatomy: Anatomy, training: Training, *, trains_base: bool, data: Data
) -> int:
    """The same, where there is no run: of a pretraining, which does no more than a run."""
    rate = _OPERATIONS_PER_SECOND[training.device]
    rate *= training.threads if training.device == "cpu" else 1
    amount = operations(model, anatomy, training, trains_base=trains_base, data=data)
    return _START_MINUTES + math.ceil(amount / rate / 60)


def operations(
    model: Model, anatomy: Anatomy, training: Training, *, trains_base: bool, data: Data | None
) -> float:
    """What training, validation and test take; a bound by the sizes of the data where known.

    Without them a split has a nominal number of units: runs can be put in an order by it.
    """
    units = _NOMINAL_UNITS
    if data is not None:
        units = {split: _positions(model, training, data, split) for split in SPLITS}
        units["test"] += data.examples["test"] * data.kind.output.most_written
    factor = _TRAINED_FACTOR if trains_base else _FROZEN_FACTOR
    passes = factor * training.epochs * units["train"]
    passes += _FORWARD_FACTOR * training.evaluations * units["validation"]
    passes += _FORWARD_FACTOR * units["test"]
    return float(passes * _computed_share(anatomy) * computed_parameters(model, anatomy))


def computed_parameters(model: Model, anatomy: Anatomy) -> int:
    """Those that an operation multiplies with: weights and biases of layers and norms.

    Of experts all count, though a token goes through few of them.
    """
    if model.widths is not None:
        return sum((inputs + 1) * outputs for inputs, outputs in pairwise(model.widths))
    beside = sum(3 * part.experts * part.out_features for part in anatomy.parts)
    # The head of a model for sentences is at most one square layer and the outputs.
    return anatomy.block_weights + beside + _width(model, anatomy) ** 2


def _activations(spec: Specification, anatomy: Anatomy) -> float:
    """Numbers that a training step or an evaluation keeps at once.

    Every linear layer keeps its input and its output, attention its scores, their softmax and its
    dropout (Korthikanti et al. 2022, arXiv:2205.05198, equation 1, in numbers for bytes).
    """
    training = spec.training
    inputs = kind_of(spec.task).inputs
    longest = inputs.longest(training.max_length, spec.model)
    length = inputs.positions(longest, spec.model)
    layers = _layer_activations(spec.model, anatomy, length)
    batch = largest_share(training, longest)
    passed = len(layers) * _width(spec.model, anatomy)
    kept = max(layers) + passed if training.gradient_checkpointing else 0
    before = inputs.before_blocks(longest, spec.model)
    trained = batch * (length * (kept or sum(layers)) * _METHOD_ACTIVATIONS + before)
    evaluated = training.evaluation_batch_size * max(length * max(layers), before)
    if not anatomy.head and anatomy.embeddings is not None:  # it says a number for each token
        said = _vocabulary(spec.model) * length
        trained += _LOGITS_TRAINED * batch * said
        evaluated += _LOGITS_EVALUATED * training.evaluation_batch_size * said
    return max(trained, evaluated)


def _layer_activations(model: Model, anatomy: Anatomy, length: int) -> list[float]:
    """Numbers that each block keeps for each token, or each layer for each example."""
    if model.widths is not None:
        return [inputs + 2 * outputs for inputs, outputs in pairwise(model.widths)]
    scores = 2.5 * (anatomy.heads or 0) * _attended(model, anatomy, length)
    shares = _shares(anatomy)
    blocks = dict.fromkeys(shares, 0.0)
    for part in anatomy.parts:
        at = (part.stack, part.block)
        attends = scores if part.role == "o" else 0  # a decoder's block attends twice
        blocks[at] += shares[at] * (part.in_features + part.out_features + attends)
    return list(blocks.values()) or [scores]


def _shares(anatomy: Anatomy) -> dict[tuple[str, int], float]:
    """Stack and number of a block -> a bound of its vectors, in those of the first block.

    A model of images that makes its vectors wider makes fewer of them: half as wide a grid in both
    directions for twice the width, most often, of which the square root is taken.
    """
    widths: dict[tuple[str, int], int] = {}
    for part in anatomy.parts:
        at = (part.stack, part.block)
        widths[at] = min(widths.get(at, part.in_features), part.in_features)
    first = next(iter(widths.values()), 1)
    narrows = anatomy.reads == "images"
    return {at: min(1.0, first / width) if narrows else 1.0 for at, width in widths.items()}


def _computed_share(anatomy: Anatomy) -> float:
    """The mean of these shares over all weights."""
    shares, total = _shares(anatomy), sum(part.parameters for part in anatomy.parts)
    shared = sum(shares[part.stack, part.block] * part.parameters for part in anatomy.parts)
    return shared / total if total else 1.0


def _attended(model: Model, anatomy: Anatomy, length: int) -> int:
    """How many vectors each of them attends to: in windows of images, those of one."""
    window = model.configuration.get("window_size")
    is_windowed = anatomy.reads == "images" and isinstance(window, int) and window > 0
    return min(length, int(str(window)) ** 2) if is_windowed else length


def _width(model: Model, anatomy: Anatomy) -> int:
    if model.widths is not None:
        return max(model.widths)
    return anatomy.hidden or max((part.in_features for part in anatomy.parts), default=1)


def _units(model: Model, training: Training, data: Data, split: SplitName) -> int:
    """Units of a split at the most: tokens of texts, pixels, examples of rows of numbers."""
    examples, size = data.examples[split], data.file_bytes[split]
    return data.kind.inputs.units(examples, size, training.max_length, model)


def _positions(model: Model, training: Training, data: Data, split: SplitName) -> int:
    """Vectors that the model makes of a split at the most."""
    return data.kind.inputs.positions(_units(model, training, data, split), model)


def _data_bytes(spec: Specification, data: Data) -> int:
    units = sum(_units(spec.model, spec.training, data, split) for split in data.examples)
    return data.kind.inputs.unit_bytes(spec.model) * units
