"""The schema of a benchmark file: closed, typed, no key passes unread."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    create_model,
    model_validator,
)

from finegrid.records.base import Name, Positive, Record
from finegrid.records.claims import Claims
from finegrid.records.prepared import SPLITS, SplitName
from finegrid.records.specification import LEARNING_RATE, Head, Pooling, Source
from finegrid.records.training import Multiple, Optimizer, Training
from tasks.file_features import FeatureOptions
from tasks.file_options import (
    ClassNames,
    Columns,
    Dropped,
    HeldOut,
    Metadata,
    Parts,
    Text,
    one_table,
)
from tasks.file_references import ReferencesAre
from tasks.table_files import Format

Seed = Annotated[int, Field(ge=0)]
TABLE_ENDINGS = ("across-tasks", "claims", "pairs", "pareto", "runs", "tuning", "variance")
"""What the names of a benchmark's further tables end with, after a dash."""


def _no_other_s_table(name: str) -> str:
    """Refuse a name whose main table would be a further table of another benchmark."""
    if name.endswith(tuple(f"-{ending}" for ending in TABLE_ENDINGS)):
        raise ValueError(
            f"{name!r} ends as a table of another benchmark does; "
            f"allowed: names that do not end with -{', -'.join(TABLE_ENDINGS)}"
        )
    return name


def _partial(name: str, model: type[Record], **changed: Any) -> Any:
    """The same fields, none of them required: what a file says on top of what is above it."""
    hints = get_type_hints(model, include_extras=True)
    fields: dict[str, Any] = {key: (hints[key] | None, None) for key in model.model_fields}
    return create_model(name, __base__=Record, **(fields | changed))


if TYPE_CHECKING:

    class PartialTraining(Record):
        """Any of the keys of finegrid.records.training.Training."""

else:
    PartialTraining = _partial(
        "PartialTraining",
        Training,
        optimizer=(_partial("PartialOptimizer", Optimizer) | None, None),
    )


def _one_path(files: Any) -> Any:
    """One path alone is that of a file, a folder or a data set of the Hub."""
    return {"path": files} if isinstance(files, str) else files


class FilesEntry(Record):
    """The files of each split, or one path: the training file, a folder, or `hub:<repository>`."""

    path: Text | None = None
    train: Parts | None = None
    validation: Parts | None = None
    test: Parts | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.path is None and self.train is None:
            raise ValueError("train: this key is required, or one path for all")
        if self.path is not None and len(self.model_fields_set) > 1:
            raise ValueError(
                f"path: {self.path!r} names all splits; allowed: path alone, or splits"
            )
        return self

    @property
    def named(self) -> dict[SplitName, tuple[str, ...]]:
        """The files of the splits that are given."""
        return {name: files for name in SPLITS if (files := getattr(self, name)) is not None}


class TaskEntry(Record):
    """A data set: a registered task with its source and options, or files of the user's own."""

    task: str | None = None
    source: Source | None = None
    """Required unless the task's options hold the data; refused there."""
    options: dict[str, JsonValue] = {}
    kind: str | None = None
    """With `files` and `columns`, in place of `task`."""
    files: Annotated[FilesEntry | None, BeforeValidator(_one_path)] = None
    columns: Columns | None = None
    """Required but for folders of texts."""
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of registered metrics, the first of which decides; None: the kind's."""
    labels: ClassNames | None = None
    """The names of the classes, in their order."""
    format: Format = Format()
    """What a file does not say of itself."""
    drop: Dropped = {}
    """Rows to leave out."""
    split: HeldOut | None = None
    metadata: Annotated[Metadata | None, BeforeValidator(one_table)] = None
    """The tables that name the files of a folder, for kinds that read whole files."""
    encoding: dict[str, JsonValue] | None = None
    """How rows become what a model reads, where the kind has a say in it."""
    decoding: dict[str, JsonValue] | None = None
    """How a model writes, for kinds whose models do."""
    answer: str | None = None
    """Where the answer stands in a text."""
    selects_by: str | None = None
    """Whether `loss` or `metric`, the first one, says which state is kept."""
    choices: int | None = None
    """The most choices of a question; None: as many as the files have."""
    answer_is: str | None = None
    """What names the choice that is the answer: `index`, `number`, `letter`, `text` or `label`."""
    unanswerable: bool | None = None
    """Whether questions may have no answer."""
    references: ReferencesAre | None = None
    """Where several texts stand that are right for a source; None: there is one."""
    features: FeatureOptions | None = None
    """How columns become numbers; None: they hold numbers, which are taken as they stand."""
    alignment: str | None = None
    """What becomes of an entity that ends inside a word: `strict` or `expand`."""
    scheme: str | None = None
    """How tags name entities, as `IOB2`; None: as all rows do."""

    @property
    def of_kind(self) -> dict[str, JsonValue]:
        """What is said of the kind."""
        keys = (
            *("encoding", "decoding", "answer", "selects_by"),
            *("choices", "answer_is", "unanswerable", "scheme", "alignment"),
        )
        return {key: value for key in keys if (value := getattr(self, key)) is not None}

    @model_validator(mode="after")
    def _is_registered_or_own(self) -> Self:
        given = self.model_fields_set
        registered = {"task", "source", "options"}
        own = set(type(self).model_fields) - registered
        if "task" in given:
            for key in sorted(given & own):
                raise ValueError(
                    f"{key}: this key is not for a registered task; allowed: task or kind"
                )
            return self
        if not given & own:
            raise ValueError("task: this key is required, or kind with files and columns")
        for key in sorted(given & registered):
            raise ValueError(f"{key}: this key is for a registered task, which `task` names")
        for key in ("kind", "files"):
            if getattr(self, key) is None:
                raise ValueError(f"{key}: this key is required for files of one's own")
        return self


class CheckpointEntry(Record):
    """Pretrained weights in the transformers layout."""

    kind: Literal["checkpoint"]
    source: Source
    configuration: dict[str, JsonValue] = {}
    """Required for `hub:` sources, which are planned before they are fetched; checked after."""
    pooling: Pooling | None = None
    """How a text's features are pooled before a linear head; None: the architecture's own head."""
    head: Head = "new"
    """Whether each run draws the task's head, or starts from the checkpoint's."""
    processor: dict[str, JsonValue] = {}
    """As `configuration`, of preprocessor_config.json, where images or sounds are read."""


class RandomEntry(Record):
    """A transformers model made on the spot."""

    kind: Literal["random"]
    configuration: dict[str, JsonValue]
    tokenizer: Source
    seed: Seed = 0
    pooling: Pooling | None = None
    processor: dict[str, JsonValue] = {}


class PretrainingEntry(Record):
    """The source task of a network, by its name in `tasks`."""

    task: Name
    training: PartialTraining
    seed: Seed = 0


class NetworkEntry(Record):
    """A stack of linear layers, by its widths."""

    kind: Literal["network"]
    layers: Annotated[tuple[Positive, ...], Field(min_length=2)]
    pretraining: PretrainingEntry | None = None
    seed: Seed = 0


ModelEntry = Annotated[CheckpointEntry | RandomEntry | NetworkEntry, Field(discriminator="kind")]


def _refuse_learning_rate(key: str, training: PartialTraining) -> None:
    if LEARNING_RATE in training.model_fields_set:
        raise ValueError(f"{key}: learning_rate is tuned; allowed: other keys")


class VariantEntry(Record):
    """A method with its hyper-parameters. `grid` spans one variant for each combination.

    A key of the grid is one of `settings`, or `training.<key>`. The variant's name has a `{key}`
    for each of them.
    """

    method: str
    settings: dict[str, JsonValue] = {}
    grid: dict[str, Annotated[tuple[JsonValue, ...], Field(min_length=1)]] = {}
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    learning_rates: dict[str, Annotated[float, Field(gt=0)] | Multiple] = {}
    """As in `training`."""
    training: PartialTraining = PartialTraining()
    by_task: dict[Name, PartialTraining] = {}
    """What the variant trains differently on a task of the grid, on top of all the above."""

    @model_validator(mode="after")
    def _one_learning_rate(self) -> Self:
        for key in (LEARNING_RATE, "learning_rates"):
            if key in self.model_fields_set & self.training.model_fields_set:
                raise ValueError(f"{key} is given here and in training; allowed: one of them")
        return self


class Grid(Record):
    """Every task x model x variant of these, under the same training."""

    tasks: Annotated[tuple[Name, ...], Field(min_length=1)]
    models: Annotated[tuple[Name, ...], Field(min_length=1)]
    variants: Annotated[dict[str, VariantEntry], Field(min_length=1)]
    training: PartialTraining = PartialTraining()
    by_task: dict[Name, PartialTraining] = {}
    """What is trained differently on one of the tasks, on top of `training`."""
    trials: PartialTraining = PartialTraining()
    """What a trial of this grid trains differently from a run, on top of the tuning's own."""
    not_applicable: Literal["error", "show"] = "error"
    """What becomes of a method that does not fit a model: an error, or a row that says so."""

    @model_validator(mode="after")
    def _learning_rate_is_tuned(self) -> Self:
        _refuse_learning_rate("trials", self.trials)
        return self


class TuningEntry(Record):
    """How every cell's learning rate is chosen: the same number of trials for each.

    A variant's learning rate is the centre of its grid.
    """

    seed: Seed
    """Of the trials; no run has it."""
    learning_rates: Positive = 3
    """How many are tried, evenly spaced on a log scale."""
    ratio: Annotated[float, Field(gt=1)] = 3.0
    """Of a learning rate of the grid to the one below it."""
    others: dict[str, Annotated[tuple[JsonValue, ...], Field(min_length=1)]] = {}
    """Further keys with their candidates, each combined with each learning rate."""
    training: PartialTraining = PartialTraining()
    """What a trial trains differently from a run."""
    grow: bool = False
    """Whether one more learning rate is tried beyond an edge that does best."""

    @model_validator(mode="after")
    def _learning_rate_is_tuned(self) -> Self:
        if LEARNING_RATE in self.others:
            raise ValueError("others: learning_rate is tuned already; allowed: other keys")
        _refuse_learning_rate("training", self.training)
        return self


class Benchmark(Record):
    """What to compare."""

    name: Annotated[Name, AfterValidator(_no_other_s_table)]
    description: str = ""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    interval: bool = True
    """Whether one seed is refused, as an interval over seeds takes two; tables do not read it."""
    max_runs: Positive = 10_000
    """A plan of more runs and trials than that is refused: a grid may grow by accident."""
    training: PartialTraining = PartialTraining()
    tuning: TuningEntry | None = None
    tasks: Annotated[dict[Name, TaskEntry], Field(min_length=1)]
    models: Annotated[dict[Name, ModelEntry], Field(min_length=1)]
    grids: Annotated[tuple[Grid, ...], Field(min_length=1)]
    claims: Claims | None = None
    """What the runs are held against; no run depends on it."""

    @model_validator(mode="after")
    def _seeds_suffice(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} names a seed twice")
        if self.interval and len(self.seeds) < 2:
            raise ValueError(
                f"seeds: {list(self.seeds)} is one seed, an interval takes at least 2; "
                "add a seed or set interval: false"
            )
        return self

    @model_validator(mode="after")
    def _tuning_has_a_seed_of_its_own(self) -> Self:
        if self.tuning is not None and self.tuning.seed in self.seeds:
            raise ValueError(
                f"tuning: seed {self.tuning.seed} is a seed of the runs; allowed: any other"
            )
        return self

    @model_validator(mode="after")
    def _trials_are_tuned(self) -> Self:
        for number, grid in enumerate(self.grids):
            if grid.trials.model_fields_set and self.tuning is None:
                raise ValueError(f"grids: number {number} has trials; allowed: with tuning alone")
        return self

    @model_validator(mode="after")
    def _claims_have_a_table_of_their_own(self) -> Self:
        table = self.claims.table if self.claims else None
        if table is not None and re.match(rf"{re.escape(self.name)}($|[.-])", table):
            raise ValueError(
                f"claims: table {table!r} may be a file of the benchmark {self.name!r}; "
                "allowed: a name that does not begin with it"
            )
        return self
