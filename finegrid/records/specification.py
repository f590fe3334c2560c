"""The full specification of a run: everything that decides its numbers, and nothing else."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator

from finegrid.records.base import Name, Record, Sha256
from finegrid.records.identity import short_hash

Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
DType = Literal["fp32", "bf16"]
Weights = Literal["fp32", "bf16", "fp16"]
Device = Literal["cpu", "cuda", "mps"]
Strategy = Literal["ddp", "fsdp"]
RunsPerDevice = Annotated[int, Field(ge=1, le=16)] | Literal["auto"]
Pooling = Literal["mean", "first", "last", "pooler"]
Head = Literal["new", "keep"]
DropoutScope = Literal["all", "trained"]
LEARNING_RATE = "learning_rate"
"""The key that every tuning searches."""
_SHOWN = r"[^\x00-\x20\x7f]"
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
SOURCE_PATTERN = rf"^(?:(?:hub|package|sdist):\S+|path:{_SHOWN}(?:[^\x00-\x1f\x7f]*{_SHOWN})?)$"
"""Spaces stand in paths alone, and not at their ends."""


class Source(Record):
    """Where files come from, pinned by content.

    `uri` is one of `hub:<owner>/<name>`, `package:<import name>/<path>`,
    `sdist:<project>==<version>/<path>` or `path:<path>`, which may begin with `~` and is relative
    to the folder that one works in.
    """

    uri: Annotated[str, Field(pattern=SOURCE_PATTERN)]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """The commit of a hub repository; required for `hub:` and refused elsewhere."""
    sha256: dict[str, Sha256] = {}
    """File name below the source -> hash of its bytes. For `sdist:` also the archive itself.

    A plan lists every file that it takes of a `package:` or a `path:`.
    """

    @model_validator(mode="after")
    def _revision_belongs_to_hub(self) -> Self:
        if self.uri.startswith("hub:") != (self.revision is not None):
            raise ValueError("revision is required for hub: sources and for no other")
        return self


class Task(Record):
    """A data set with its split: the registered task and its options, defaults filled in."""

    name: Name
    task: str
    source: Source | None = None
    """None for a task whose options hold the data."""
    options: dict[str, JsonValue] = {}

    @property
    def key(self) -> str:
        """The folder of the prepared task: name and content hash."""
        return f"{self.name}-{short_hash(self)}"


class Optimizer(Record):
    """An optimizer of torch.optim with its settings except for the learning rate."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    weight_decay: NonNegativeFloat = 0.0
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    epsilon: PositiveFloat = 1e-8
    momentum: Fraction = 0.0


class Training(Record):
    """How a run is trained. Lengths in tokens, sizes in examples."""

    learning_rate: PositiveFloat
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
    """How the base is held, but for its norms. What a method adds, and the head, are fp32."""
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
            return float(given.removesuffix(_TIMES)) * self.learning_rate
        return given

    @property
    def devices_per_node(self) -> int:
        """Devices of each node."""
        return self.devices // self.nodes

    @model_validator(mode="after")
    def _weights_are_converted(self) -> Self:
        if self.weights != "fp32" and self.dtype != "bf16":
            raise ValueError(
                f"weights: {self.weights} with dtype: {self.dtype}, in which nothing converts what "
                "is multiplied; allowed: dtype: bf16, or weights: fp32"
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


class Tuning(Record):
    """How a cell's tuned values are chosen: by trials on a seed that no run uses.

    A trial is a run that ends with its validation score. Every combination of the grid is one.
    """

    seed: Annotated[int, Field(ge=0)]
    grid: dict[str, Annotated[tuple[JsonValue, ...], Field(min_length=1)]]
    """Tuned key -> candidates. A key of `training`, nested ones with a dot, or `settings.<key>`."""
    ratio: Annotated[float, Field(gt=1)]
    """Of a learning rate of the grid to the one below it."""
    grow: bool = False
    """Whether one more learning rate is tried beyond an edge of the grid that does best."""
    training: dict[str, JsonValue] = {}
    """What a trial trains differently from a run."""

    @model_validator(mode="after")
    def _has_learning_rates(self) -> Self:
        if not self.grid.get(LEARNING_RATE):
            raise ValueError(f"grid: {LEARNING_RATE} is missing; allowed: one value or more")
        return self

    @property
    def learning_rates(self) -> list[float]:
        """The learning rates of the grid, ascending."""
        return sorted(float(str(rate)) for rate in self.grid[LEARNING_RATE])


class Pretraining(Record):
    """A source task on which a network is trained in full before it is fine-tuned."""

    task: Task
    training: Training
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _is_plain(self) -> Self:
        if self.training.devices > 1:
            raise ValueError(f"devices: {self.training.devices} for a pretraining; allowed: 1")
        if self.training.weights != "fp32":
            raise ValueError(f"weights: {self.training.weights} for a pretraining; allowed: fp32")
        return self


class Transformer(Record):
    """What all models of transformers have in common: the task decides their inputs and head."""

    pretraining: ClassVar[None] = None
    """They are trained on no task here before they are fine-tuned."""
    input_size: ClassVar[None] = None
    """How many numbers the model reads of an example; None for a model that reads no such row."""
    output_size: ClassVar[None] = None
    """How many outputs the head has; None where they are the task's."""
    widths: ClassVar[None] = None
    """The widths of a plain stack of layers; None for what the library makes of a configuration."""
    unusable: ClassVar[Mapping[str, str]] = {}
    """Key of `training` that such a model has no use for -> why."""
    stored_as_loaded: ClassVar[bool] = False
    """Whether the names of the stored weights are those of the loaded model's."""


class Checkpoint(Transformer):
    """Real pretrained weights in the transformers layout."""

    kind: Literal["checkpoint"]
    name: Name
    source: Source
    configuration: dict[str, JsonValue]
    """The model's own config.json: it decides which methods fit before anything is loaded."""
    pooling: Pooling | None = Field(default=None, exclude_if=lambda value: value is None)
    """How a text's features are pooled before a linear head; None: the architecture's own head."""
    head: Head = Field(default="new", exclude_if=lambda value: value == "new")
    """Whether a run draws the task's head, or starts from the one that the checkpoint holds."""
    processor: dict[str, JsonValue] = Field(default={}, exclude_if=lambda value: not value)
    """What its preprocessor_config.json says, where a task's inputs are processed by it."""

    @property
    def keeps_head(self) -> bool:
        """Whether runs start from the head that the checkpoint holds."""
        return self.head == "keep"


class RandomModel(Transformer):
    """A transformers model made on the spot from a configuration and a seed."""

    kind: Literal["random"]
    name: Name
    configuration: dict[str, JsonValue]
    tokenizer: Source
    seed: Annotated[int, Field(ge=0)] = 0
    pooling: Pooling | None = Field(default=None, exclude_if=lambda value: value is None)
    """As for a checkpoint."""
    processor: dict[str, JsonValue] = Field(default={}, exclude_if=lambda value: not value)
    """What the file beside the tokenizer says, as for a checkpoint."""


class Network(Record):
    """A plain stack of linear layers with ReLU between them; the last layer is the head."""

    kind: Literal["network"]
    name: Name
    layers: Annotated[tuple[Positive, ...], Field(min_length=2)]
    pretraining: Pretraining | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    pooling: ClassVar[None] = None
    """There is no text to pool."""
    processor: ClassVar[Mapping[str, JsonValue]] = {}
    """Numbers are read as they are."""
    unusable: ClassVar[Mapping[str, str]] = {
        "dropout": "has no such layer",
        "dropout_scope": "has no dropout",
        "gradient_checkpointing": "has no blocks",
    }
    stored_as_loaded: ClassVar[bool] = True

    @property
    def widths(self) -> tuple[int, ...]:
        """Its layers': it is all that a plain stack is made of."""
        return self.layers

    @property
    def input_size(self) -> int:
        """The width of the first layer."""
        return self.layers[0]

    @property
    def output_size(self) -> int:
        """The width of the last one."""
        return self.layers[-1]

    @property
    def configuration(self) -> dict[str, Any]:
        """The same description that a transformers configuration gives."""
        return {"model_type": "linear-stack", "layers": list(self.layers)}


Model = Annotated[Checkpoint | RandomModel | Network, Field(discriminator="kind")]


def model_key(model: Checkpoint | RandomModel | Network) -> str:
    """The folder of the prepared model: name and content hash."""
    return f"{model.name}-{short_hash(model)}"


class Variant(Record):
    """A method with all its hyper-parameters, defaults filled in."""

    name: Name
    method: str
    settings: dict[str, JsonValue] = {}


class Specification(Record):
    """One run: task, model, variant, training and seed.

    With `tuning`, the values of the tuned keys are those that stand when nothing is tuned: what
    the trials choose takes their place.
    """

    schema_version: Literal[1] = 1
    task: Task
    model: Model
    variant: Variant
    training: Training
    seed: Annotated[int, Field(ge=0)]
    role: Literal["run", "trial"] = "run"
    """A trial is scored on validation alone: it never reads the test split."""
    tuning: Tuning | None = None

    @model_validator(mode="after")
    def _trials_are_not_tuned(self) -> Self:
        if self.role == "trial" and self.tuning is not None:
            raise ValueError("a trial has no tuning of its own")
        return self

    @property
    def cell(self) -> str:
        """task-model-variant: what the seeds of a cell share."""
        return f"{self.task.name}-{self.model.name}-{self.variant.name}"

    @property
    def run(self) -> str:
        """The run's identity, `<task>-<model>-<variant>-s<seed>-<8 hex>`, safe as a path."""
        return f"{self.cell}-s{self.seed}-{short_hash(self)}"
