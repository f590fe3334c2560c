"""A run, stage by stage: load, apply, train, score, store, measure."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from finegrid.models.head import drawn_modules
from finegrid.models.loading import base_sha256, blank_model, load_model
from finegrid.models.quantised import parameter_count
from finegrid.models.seeds import generator, seed_global
from finegrid.records.damage import read_manifest
from finegrid.records.encoded import Encoded
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import PreparedModel, PreparedTask, SplitName
from finegrid.records.result import (
    DELTA_FILE,
    HISTORY_FILE,
    PREDICTIONS_FILE,
    Metrics,
    Parameters,
    Score,
    Trivial,
)
from finegrid.records.specification import Specification, model_key
from finegrid.records.write import atomic_path
from finegrid.training.course import Course
from finegrid.training.data import Examples, load_examples
from finegrid.training.encoding import encoded_folder, encoding_of
from finegrid.training.evaluation import (
    UndefinedScoreError,
    is_finite,
    load_metric,
    predict,
    prediction_table,
    predictions,
    score,
)
from finegrid.training.loop import DivergedError, Event, Trained, Trainer
from finegrid.training.measure.cell import CellCosts
from finegrid.training.measure.costs import Subject, measured
from finegrid.training.measure.memory import PeakMeter
from finegrid.training.measure.summaries import summarise_gradients, summarise_losses
from finegrid.training.processes.distributed import ALONE, Group
from finegrid.training.record import Reached
from finegrid.training.state.keeper import Keeper
from finegrid.training.state.tensors import write_tensors
from finegrid.training.trivial import trivial_scores
from kinds.contract import Row
from kinds.registry import kind_named
from methods.contract import Method
from methods.parameters import Category, count_trainable, delta_state
from methods.registry import METHODS

Splits = Mapping[SplitName, Examples]


@dataclass(frozen=True)
class Run:
    """What one attempt at a run is given."""

    spec: Specification
    """With nothing left to tune."""
    prepared: Path
    folder: Path
    mirror: Callable[[Event], None]
    keeper: Keeper | None = None
    """Without one, nothing is kept of a run that is interrupted."""
    group: Group = ALONE
    """The processes that perform it together; the first of them writes."""
    cell: CellCosts | None = None
    """What the runs of its cell measure once; without it, this run measures for itself."""

    @property
    def task_folder(self) -> Path:
        """The prepared task."""
        return self.prepared / "tasks" / self.spec.task.key

    @property
    def model_folder(self) -> Path:
        """The prepared model."""
        return self.prepared / "models" / model_key(self.spec.model)

    @property
    def device(self) -> torch.device:
        """Where this process trains."""
        return torch.device(self.spec.training.device)

    @property
    def is_sharded(self) -> bool:
        """Whether no process holds the whole model: its latency on one device is missing then."""
        return self.spec.training.strategy == "fsdp"

    @property
    def has_weights(self) -> bool:
        """Whether this process loads the base's numbers, or gets its share of the first one's."""
        is_led = self.is_sharded and not METHODS.get(self.spec.variant.method).reads_weights
        return self.group.is_first or not is_led

    def read(self, task: PreparedTask, *names: SplitName) -> dict[SplitName, Examples]:
        """The named splits. The test split is asked for when training is over, and not before."""
        found = load_examples(self.encoded_folder(task), task, self.model_folder, names)
        if (count := self.spec.training.evaluation_examples) and "validation" in found:
            found["validation"] = found["validation"].some(count)
        return found

    def encoded_folder(self, task: PreparedTask) -> Path:
        """The task as it is encoded for the model."""
        spec = self.spec
        kind, length = kind_named(task.kind, task.kind_options), spec.training.max_length
        return encoded_folder(self.prepared, encoding_of(kind, spec.task, spec.model, length))

    def write(self, name: str, write: Callable[[Path], object]) -> dict[str, str]:
        """Write a file of the run, whole or not at all; its hash by its name, of the first process.

        Raises OSError where the disk does.
        """
        if not self.group.is_first:
            return {}
        with atomic_path(self.folder / name) as path:
            write(path)
        return {name: file_sha256(self.folder / name)}


@dataclass(frozen=True)
class Loaded:
    """The base model."""

    model: nn.Module
    peak_bytes: int
    """What loading it took of the host's memory at the most."""


@dataclass(frozen=True)
class Applied:
    """A model with a method, and what the model was before."""

    model: nn.Module
    method: Method
    base_names: frozenset[str]
    base_count: int
    expected: int
    """Trainable parameters by the method's closed form."""


@dataclass(frozen=True)
class Scored:
    """The scores of the kept state, and what the model says of the splits that were scored."""

    metrics: Metrics
    said: dict[SplitName, list[Row]]
    seconds: float


def perform(run: Run, reached: Reached) -> None:
    """All stages. Raises what training raises; what is reached by then is in `reached`."""
    for part in stages(run):
        reached.update(part)


def stages(run: Run) -> Iterator[Reached]:
    """The stages of a run. Each yields what it adds to the record."""
    course = Course(run.mirror, run.keeper, started=time.perf_counter())
    task = read_manifest(PreparedTask, run.task_folder)
    said = (*task.remarks, *kind_named(task.kind, task.kind_options).remarks())
    yield {"data_sha256": task.sha256, "task_remarks": said}
    prepared = read_manifest(PreparedModel, run.model_folder)
    yield {"stripped": prepared.stripped, "dequantised": prepared.dequantised}
    base = load(run, prepared, task)
    drawn = drawn_modules(base.model)
    yield {"drawn_modules": drawn}
    if run.has_weights:
        yield {"model_sha256": base_sha256(base.model)}
    splits = run.read(task, "train", "validation")  # held against the model, which is checked
    yield {"encoded_by": read_manifest(Encoded, run.encoded_folder(task)).packages}

    applied = apply(run, base.model)
    trainer = Trainer(
        applied.model,
        task,
        splits,
        run.spec.training,
        course.log,
        restore=course.restore,
        between=course.between,
        beside=applied.method.steps,
        group=run.group,
    )
    seed_global(run.spec.seed, "dropout", run.group.rank)
    try:
        trained = trainer.train(generator(run.spec.seed, "order"))
    finally:
        files = run.write(HISTORY_FILE, course.write)
        yield {
            "derived": trainer.steps.derived if trainer.steps else {},
            "losses": summarise_losses(trainer.losses),
            "gradients": summarise_gradients(trainer.gradient_norms, trainer.layer_norms),
            "resumed_at_steps": course.resumed_at_steps,
            "files": files,
        }

    is_trial = run.spec.role == "trial"  # it never reads the test split
    splits |= {} if is_trial else run.read(task, "test")
    scored = score_unseen(run, task, applied.model, splits, trained)
    yield {"metrics": scored.metrics}
    files |= run.write(PREDICTIONS_FILE, partial(write_predictions, scored.said, splits))
    yield {"files": files}
    if is_trial:
        yield {"time": course.times(trained, scored.seconds)}
        return

    course.between(trainer)
    yield {"time": course.times(trained, scored.seconds)}
    subject = Subject(
        spec=run.spec,
        trainer=trainer,
        optimizer=trained.optimizer,
        kept_state=trained.best.state,
        method=applied.method,
        peak_load_bytes=base.peak_bytes,
        drawn_modules=drawn,
        prepared=run.prepared,
        load_base=partial(load_base, run, prepared, task),
    )
    between, storing = partial(course.between, trainer), partial(store, run, applied, files)
    yield from measured(subject, run.cell, between, storing)


def load(run: Run, prepared: PreparedModel, task: PreparedTask) -> Loaded:
    """The base model, and what scores need: loading that would take seconds of their time."""
    for name in task.metrics:
        load_metric(name)
    if not run.has_weights:
        run.group.meet()  # the first process checks the folder before
    with PeakMeter(torch.device("cpu")) as meter:
        model = load_base(run, prepared, task)
    if run.has_weights and run.is_sharded:
        run.group.meet()
    return Loaded(model, meter.peak)


def load_base(run: Run, prepared: PreparedModel, task: PreparedTask) -> nn.Module:
    """The base model, its head drawn by the run's seed; on the meta device without weights."""
    folder, training, seed = run.model_folder, run.spec.training, run.spec.seed
    kind, how = kind_named(task.kind, task.kind_options), training.weights
    double = training.double_quantisation
    configured = kind.configure(task.labels)
    if not run.has_weights:
        blank = prepared, kind.loader, configured, training.dropout, how
        return blank_model(folder, *blank, double=double)
    model = prepared, task, kind.loader, configured
    return load_model(folder, *model, seed, training.dropout, how, double=double)


def apply(run: Run, model: nn.Module) -> Applied:
    """Change the model by the run's method, on the device.

    Raises RuntimeError where the method trains other numbers than its closed form says.
    """
    variant = run.spec.variant
    method = METHODS.build(variant.method, variant.settings)
    names = frozenset(name for name, _ in model.named_parameters())
    count = parameter_count(model)
    expected = method.expected_parameters(model)
    try:
        method.apply(model, generator(run.spec.seed, "method"))
    except RuntimeError as error:
        if run.has_weights:
            raise
        raise RuntimeError(f"{variant.method} reads the base: say `reads_weights`") from error
    live = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if live != expected:
        raise RuntimeError(f"{variant.method}: {live} trainable parameters, closed form {expected}")
    # One that is divided among devices may not fit on any of them.
    placed = model if run.is_sharded else model.to(run.device)
    return Applied(placed, method, names, count, expected)


def score_unseen(
    run: Run, task: PreparedTask, model: nn.Module, splits: Splits, trained: Trained
) -> Scored:
    """Score the kept state on the split that training has not seen: test, or none.

    Raises DivergedError, and UndefinedScoreError that names the split.
    """
    unseen: dict[SplitName, Examples] = {
        name: one for name, one in splits.items() if name == "test"
    }
    trivial = {name: _trivial(splits["train"], one, task) for name, one in unseen.items()}
    start = time.perf_counter()
    said: dict[SplitName, list[Row]] = {
        name: say(run, model, examples, task.metrics) for name, examples in unseen.items()
    }
    if not all(map(is_finite, said.values())):
        raise DivergedError(trained.best.step, "a prediction on test")
    scores = {name: scores_on(name, unseen[name], rows, task) for name, rows in said.items()}
    metrics = Metrics(
        primary=task.metrics[0],
        selected_by=None if trained.selector == task.metrics[0] else trained.selector,
        validation=trained.best.scores,
        test=scores.get("test", {}),
        best_step=trained.best.step,
        counted=_lost(run, task) | _counted(unseen, said),
        trivial=trivial.get("test"),
    )
    seconds = time.perf_counter() - start
    kept: dict[SplitName, list[Row]] = {"validation": trained.best.said}
    return Scored(metrics, kept | said, seconds)


def _lost(run: Run, task: PreparedTask) -> dict[str, int]:
    """What the examples of each split have lost where they were encoded."""
    lacking = kind_named(task.kind, task.kind_options).output.lacking
    return read_manifest(Encoded, run.encoded_folder(task)).remarks(lacking)


def _counted(splits: Splits, said: Mapping[SplitName, list[Row]]) -> dict[str, int]:
    """What there is to say of the predictions on the splits, and of how many."""
    found: Counter[str] = Counter()
    for name, rows in said.items():
        found.update(splits[name].kind.output.counted(rows))
    return dict(found)


def _trivial(train: Examples, unseen: Examples, task: PreparedTask) -> Trivial | None:
    """The trivial predictor's scores, for kinds that have one."""
    if train.kind.output.predictor is None:
        return None
    return trivial_scores(train.truths, unseen.truths, task)


def say(run: Run, model: nn.Module, examples: Examples, metrics: Sequence[str]) -> list[Row]:
    """What the model says of the examples, and writes where a metric reads that."""
    training = run.spec.training
    size, dtype = training.evaluation_batch_size, training.dtype
    return predict(model, examples, size, run.device, dtype, run.group, metrics)


def scores_on(
    name: SplitName, examples: Examples, said: list[Row], task: PreparedTask
) -> dict[str, Score]:
    """The scores on a split. Raises UndefinedScoreError that names the split."""
    try:
        return score(predictions(examples, said), task.metrics)
    except UndefinedScoreError as error:
        raise UndefinedScoreError(f"{name}: {error}") from error


def write_predictions(said: Mapping[SplitName, list[Row]], splits: Splits, path: Path) -> None:
    """`predictions.parquet`: a row an example, by splits."""
    tables = [prediction_table(name, splits[name], rows) for name, rows in said.items()]
    pq.write_table(pa.concat_tables(tables), path)


def store(run: Run, applied: Applied, files: Mapping[str, str]) -> Reached:
    """Count what was trained, drop what only training needed, and write down the rest."""
    counts = count_trainable(applied.model, applied.base_names)
    applied.method.finish(applied.model)
    delta = run.group.whole(delta_state(applied.model))
    written = run.write(DELTA_FILE, partial(write_tensors, delta))
    if not run.group.is_first:
        return {}
    parameters = Parameters(
        base=applied.base_count,
        trainable=sum(counts.values()),
        expected=applied.expected,
        stored=sum(t.numel() for t in delta.values()),
        stored_bytes=(run.folder / DELTA_FILE).stat().st_size,
        **{name: counts[name] for name in get_args(Category)},
    )
    return {"parameters": parameters, "files": {**files, **written}}
