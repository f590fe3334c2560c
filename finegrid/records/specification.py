"""The full specification of a run: everything that decides its numbers, and nothing else."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator

from finegrid.records.base import Name, Positive, Record, Sha256
from finegrid.records.identity import short_hash
from finegrid.records.training import Training

Pooling = Literal["mean", "first", "last", "pooler"]
Head = Literal["new", "keep"]
LEARNING_RATE = "learning_rate"
"""The key that every tuning searches."""
_SHOWN = r"[^\x00-\x20\x7f]"
SOURCE_PATTERN = (
    rf"^(?:(?:hub|package|sdist|wheel|deb):\S+|path:{_SHOWN}(?:[^\x00-\x1f\x7f]*{_SHOWN})?)$"
)
"""Spaces stand in paths alone, and not at their ends."""
ONNX_END = ".onnx"
_CONFIGURATION_FILE = "config.json"


class Source(Record):
    """Where files come from, pinned by content.

    `uri` is one of `hub:<owner>/<name>`, `package:<import name>/<path>`,
    `sdist:<project>==<version>/<path>`, `wheel:<project>==<version>/<path>`,
    `deb:<package>==<version>/<path>` or `path:<path>`, which may begin with `~` and is relative to
    the folder that one works in.
    """

    uri: Annotated[str, Field(pattern=SOURCE_PATTERN)]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """The commit of a hub repository; required for `hub:` and refused elsewhere."""
    sha256: dict[str, Sha256] = {}
    """File name below the source -> hash of its bytes. For `sdist:`, `wheel:` and `deb:` also the
    archive itself.

    A plan lists every file that it takes of a `package:` or a `path:`.
    """

    @model_validator(mode="after")
    def _revision_belongs_to_hub(self) -> Self:
        if self.uri.startswith("hub:") != (self.revision is not None):
            raise ValueError("revision is required for hub: sources and for no other")
        return self

    @property
    def lacks_configuration(self) -> bool:
        """Whether the source is an ONNX file without the configuration of its model."""
        names = (self.uri, *self.sha256)
        return any(one.endswith(ONNX_END) for one in names) and _CONFIGURATION_FILE not in names


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


def keeps_head(model: Checkpoint | RandomModel | Network) -> bool:
    """Whether runs start from the head that the checkpoint holds."""
    return isinstance(model, Checkpoint) and model.head == "keep"


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
