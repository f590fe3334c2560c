"""How a run is trained: its steps, its batches, its learning rates, and on what."""

import math
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from finegrid.records.base import Fraction, NonNegativeFloat, Positive, PositiveFloat, Record

DType = Literal["fp32", "bf16"]
Weights = Literal["fp32", "bf16", "fp16", "int8", "nf4"]
HALF: tuple[Weights, ...] = ("bf16", "fp16")
QUANTISED: tuple[Weights, ...] = ("int8", "nf4")
Device = Literal["cpu", "cuda", "mps"]
Strategy = Literal["ddp", "fsdp"]
RunsPerDevice = Annotated[int, Field(ge=1, le=16)] | Literal["auto"]
DropoutScope = Literal["all", "trained"]
_TIMES = "x"


def _more_than_none(multiple: str) -> str:
    """Refuse a multiple of zero."""
    if not float(multiple.removesuffix(_TIMES)):
        raise ValueError(f"{multiple!r} is none at all; allowed: a multiple above 0, as 16x")
    return multiple


Multiple = Annotated[
    str, StringConstraints(pattern=rf"^\d+(\.\d+)?{_TIMES}$"), AfterValidator(_more_than_none)
]
"""A multiple of the learning rate: `16x`."""


class Optimizer(Record):
    """An optimizer of torch.optim with its settings except for the learning rate."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    weight_decay: NonNegativeFloat = 0.0
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    epsilon: PositiveFloat = 1e-8
    momentum: Fraction = 0.0


class Training(Record):
    """How a run is trained. Lengths in tokens, sizes in examples."""

    learning_rate: PositiveFloat | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """None where nothing is trained."""
    learning_rates: dict[str, PositiveFloat | Multiple] = Field(
        default={}, exclude_if=lambda value: not value
    )
    """Group of what is trained -> a learning rate of its own, or a multiple of `learning_rate`.

    `head` is the task's head; the others are named by the method: A and B of LoRA.
    """
    epochs: Positive
    batch_size: Positive
    micro_batch_size: Positive | None = None
    """Examples a backward pass; smaller than batch_size accumulates gradients. None: all."""
    micro_batch_units: Positive | None = Field(default=None, exclude_if=lambda value: value is None)
    """Units a backward pass at the most, padding counted: examples times the largest of them.

    It takes the place of `micro_batch_size`: the number of examples follows from their sizes.
    """
    evaluation_batch_size: Positive = 64
    evaluation_examples: Positive | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """Examples of validation that are scored, evenly spaced in their order; None: all."""
    max_length: Positive = 128
    optimizer: Optimizer = Optimizer()
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_fraction: Fraction = 0.0
    gradient_clip_norm: PositiveFloat | None = 1.0
    label_smoothing: Fraction = Field(default=0.0, exclude_if=lambda value: not value)
    """Of a loss that is a cross-entropy: how much of each target is spread evenly over all classes.
    No score reads it: the losses of evaluations, such as a perplexity, are of plain targets."""
    gradient_checkpointing: bool = False
    dropout: Fraction | None = None
    """Overrides every dropout of the base model; None keeps the model's own."""
    dropout_scope: DropoutScope = Field(default="all", exclude_if=lambda value: value == "all")
    """Where the base model's dropout acts: everywhere, or where something is trained alone. Modules
    whose outputs depend on nothing trained then have none, by whatever method that is."""
    evaluations: Positive = 1
    """Evaluations on validation, evenly spaced over the steps; the last is after the last step."""
    checkpoint: Literal["best", "last"] = "best"
    """Which evaluated state is kept: the best validation score, earliest of equals, or the last."""
    dtype: DType = "fp32"
    """Of the computation."""
    weights: Weights = Field(default="fp32", exclude_if=lambda value: value == "fp32")
    """How the base is held, but for its norms. What a method adds, and the head, are fp32.

    With `int8` and `nf4` it is the linear layers of its blocks that are held so, and frozen.
    """
    double_quantisation: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether the constants of nf4 are themselves quantised, to 8 bits."""
    device: Device = "cpu"
    threads: Positive = 1
    """Of each process, of which there is one a device."""
    devices: Positive = Field(default=1, exclude_if=lambda value: value == 1)
    """Devices that share every micro-batch of a run."""
    nodes: Positive = Field(default=1, exclude_if=lambda value: value == 1)
    """Machines that the devices are spread over, as many on each."""
    strategy: Strategy = Field(default="ddp", exclude_if=lambda value: value == "ddp")
    """How several devices hold the model, its gradients and the optimizer's state: each of them
    all of it (ddp), or its own part (fsdp)."""
    runs_per_device: RunsPerDevice = Field(default=1, exclude_if=lambda value: value == 1)
    """Runs that may share a GPU at a time; auto: as many as its memory holds, as predicted. It
    changes no score, and what a run's time means: shared and exclusive times do not compare."""

    def group_rate(self, group: str) -> float:
        """The learning rate of a group that has one of its own."""
        given = self.learning_rates[group]
        if isinstance(given, str):
            return float(given.removesuffix(_TIMES)) * self.rate
        return given

    @property
    def rate(self) -> float:
        """The learning rate. Raises ValueError where none is given."""
        if self.learning_rate is None:
            raise ValueError("learning_rate: this key is required")
        return self.learning_rate

    @property
    def devices_per_node(self) -> int:
        """Devices of each node."""
        return self.devices // self.nodes

    @model_validator(mode="after")
    def _weights_are_converted(self) -> Self:
        if self.weights in HALF and self.dtype != "bf16":
            raise ValueError(
                f"weights: {self.weights} with dtype: {self.dtype}, in which nothing converts what "
                "is multiplied; allowed: dtype: bf16, or weights: fp32"
            )
        return self

    @model_validator(mode="after")
    def _quantised_weights_are_whole(self) -> Self:
        if self.double_quantisation and self.weights != "nf4":
            raise ValueError(
                f"double_quantisation: true with weights: {self.weights}, which has no constants "
                "of blocks; allowed: weights: nf4, or double_quantisation: false"
            )
        if not is_quantised(self.weights):
            return self
        if self.strategy == "fsdp":
            raise ValueError(
                f"weights: {self.weights} with strategy: fsdp, which divides numbers, and no codes "
                "that share constants; allowed: strategy: ddp, or weights: fp32, bf16, fp16"
            )
        if self.device == "mps":
            raise ValueError(
                f"weights: {self.weights} on device: mps, where nothing shows that its codes are "
                "read right; allowed: device: cpu, cuda, or weights: fp32"
            )
        return self

    @model_validator(mode="after")
    def _micro_batch_divides(self) -> Self:
        micro = self.micro_batch_size
        if micro is not None and self.batch_size % micro:
            raise ValueError(
                f"micro_batch_size {micro} must divide batch_size {self.batch_size} evenly"
            )
        if micro is not None and self.micro_batch_units is not None:
            raise ValueError(
                f"micro_batch_units: {self.micro_batch_units} beside micro_batch_size: {micro}; "
                "allowed: one of the two"
            )
        return self

    @model_validator(mode="after")
    def _devices_share_evenly(self) -> Self:
        sizes = {"batch_size": self.batch_size, "micro_batch_size": self.micro_batch_size}
        for key, size in sizes.items():
            if size is not None and size % self.devices:
                raise ValueError(
                    f"devices: {self.devices} does not divide {key} {size} evenly; "
                    f"allowed: a divisor of {size}"
                )
        if self.devices % self.nodes:
            raise ValueError(
                f"nodes: {self.nodes} does not divide devices {self.devices} evenly; "
                f"allowed: a divisor of {self.devices}"
            )
        if self.device == "mps" and self.devices > 1:
            raise ValueError(f"devices: {self.devices} of device mps; allowed: 1")
        if self.strategy == "fsdp" and self.devices == 1:
            raise ValueError("strategy: fsdp on 1 device; allowed: ddp, or devices from 2")
        if self.strategy == "fsdp" and self.dropout_scope != "all":
            raise ValueError(
                f"dropout_scope: {self.dropout_scope} with strategy: fsdp, where no process holds "
                "the model to see what is trained; allowed: all"
            )
        return self

    @model_validator(mode="after")
    def _runs_share_one_gpu(self) -> Self:
        if self.runs_per_device != 1 and (self.device, self.devices) != ("cuda", 1):
            raise ValueError(
                f"runs_per_device: {self.runs_per_device} with devices: {self.devices} of "
                f"{self.device}; allowed: 1, or 1 device of cuda"
            )
        return self


def is_quantised(weights: Weights) -> bool:
    """Whether matrices of the base are held in codes, which nothing trains."""
    return weights in QUANTISED


def largest_micro_batch(training: Training, size: int) -> int:
    """The examples of a micro-batch at the most, each of that many units."""
    if training.micro_batch_units is None:
        return training.micro_batch_size or training.batch_size
    return min(training.batch_size, max(1, training.micro_batch_units // size))


def largest_share(training: Training, size: int) -> int:
    """The examples of a micro-batch that each device has at the most, each of that many units."""
    return math.ceil(largest_micro_batch(training, size) / training.devices)


def accumulates(training: Training, size: int) -> bool:
    """Whether an optimizer step on examples of that many units adds up several gradients."""
    return largest_micro_batch(training, size) < training.batch_size
