"""The stages of a benchmark in one process: rows, models, encodings, and a run of each cell."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from finegrid.models.anatomy import Anatomy, of_network
from finegrid.models.blueprint import Purpose
from finegrid.prepare.encode import encode_task
from finegrid.prepare.model import prepare_model
from finegrid.prepare.task import Read, write_task
from finegrid.records.place import record_file
from finegrid.records.plan import Cell, Plan
from finegrid.records.result import Result
from finegrid.records.specification import (
    Model,
    Network,
    RandomModel,
    Specification,
    Task,
    model_key,
)
from finegrid.records.training import Training
from finegrid.records.tuning import candidates, choice_file, trial, tuned
from finegrid.rehearsal.cells import SmallRun, elsewhere, small_run, small_task, small_training
from finegrid.rehearsal.rows import Handful, handful, words_of
from finegrid.rehearsal.shrink import shrunk
from finegrid.rehearsal.sizes import Configuration
from finegrid.rehearsal.tokens import (
    MadeTokens,
    gathered,
    pinned_folder,
    processor_files,
    write_processor,
)
from finegrid.training.encoding import encoded_folder, encoding_of
from finegrid.training.measure import inference
from finegrid.training.processes.exits import EXIT_TRY_AGAIN
from finegrid.training.run import main as make_run
from finegrid.training.tune import tune
from tasks.registry import kind_of

LOG_FILE = "rehearsal.log"
_T = TypeVar("_T")


class StageError(Exception):
    """A stage that failed: its name, and why."""


@dataclass
class Notes:
    """What a rehearsal does otherwise than the benchmark says, each once, in order."""

    shrunk: dict[str, None] = field(default_factory=dict)
    made: dict[str, None] = field(default_factory=dict)
    elsewhere: dict[str, None] = field(default_factory=dict)
    undefined: dict[str, None] = field(default_factory=dict)
    """Cells whose few rows have no score."""
    tried: dict[str, None] = field(default_factory=dict)
    """Cells of which a trial was made before the run."""


@dataclass(frozen=True)
class Small:
    """A tiny model, and its anatomies by what it is for."""

    model: Model
    anatomies: Mapping[Purpose, Anatomy]


@dataclass(frozen=True)
class Outcome:
    """A cell that was rehearsed: its run, or why it has failed."""

    name: str
    cell: Cell
    reason: str | None = None


@dataclass
class Rehearsal:
    """The cells of a plan, made small and run below a folder, which gets the layout of results."""

    plan: Plan
    folder: Path
    before: Path = Path("results/prepared")
    """What was prepared for the benchmark itself, which is read where it is there."""
    notes: Notes = field(default_factory=Notes)
    _made: dict[tuple[str, str], Any] = field(default_factory=dict)
    """Stage and key -> what it gave, or the error that it raised."""

    def outcomes(self) -> Iterator[Outcome]:
        """Each cell that has runs, in the order of the plan, as soon as it is known."""
        with _logged(self.folder / LOG_FILE), _brief():
            for cell in self.cells:
                yield self._outcome(cell)

    @property
    def cells(self) -> list[Cell]:
        """Those that have runs."""
        return [cell for cell in self.plan.cells if cell.runs]

    def _outcome(self, cell: Cell) -> Outcome:
        name = f"{cell.task} x {cell.model} x {cell.variant}"
        spec = next(iter(cell.runs.values()))
        self.notes.elsewhere |= dict.fromkeys(elsewhere(spec.training))
        try:
            small = self._small(spec)
            self._prepare(small)
            trials = self._tried(small, name)
            run = small if trials else small.model_copy(update={"tuning": None})
            self._run("run", run, name)
        except StageError as error:
            return Outcome(name, cell, str(error))
        return Outcome(name, cell.model_copy(update={"runs": {run.run: run}, "trials": trials}))

    def _small(self, spec: Specification) -> Specification:
        """The run on a tiny model. Raises StageError."""
        self._rows(spec.task)
        purpose = kind_of(spec.task).purpose
        model: Small = self._stage("model", spec.model.name, lambda: self._model(spec.model))
        make = partial(small_run, spec, model.model, model.anatomies[purpose])
        found: SmallRun = _staged("settings", make)
        self.notes.shrunk |= dict.fromkeys(found.lowered)
        return found.spec

    def _rows(self, task: Task) -> Handful:
        """The rows of a task, whole or small. Raises StageError."""
        found: Handful = self._stage("task", small_task(task).key, lambda: self._handful(task))
        return found

    def _handful(self, task: Task) -> Handful:
        found = handful(task, self.before)
        if found.made:
            self.notes.made[f"rows of {task.name}"] = None
        return found

    def _model(self, model: Model) -> Small:
        """The tiny model that stands in, for all that its tasks take it for."""
        purposes = self._purposes(model.name)
        if isinstance(model, Network):
            anatomy = of_network(model.widths, str(model.configuration["model_type"]))
            return Small(self._network(model), dict.fromkeys(purposes, anatomy))
        files = processor_files(model, self.before)
        folder = self.folder / "tokens" / model.name
        gathered(files, folder)
        if model.processor and not files:
            write_processor(model.processor, folder)
        reads_text = any(one.reads == "text" for one in purposes)
        tokens: Callable[[Configuration], Configuration] = _nothing
        if reads_text and not files:
            tokens = partial(self._made_tokens, model.name, purposes, folder)
        found = shrunk(model, purposes, tokens)
        for change in found.changes:
            self.notes.shrunk[f"{model.name}: {change}"] = None
        made = RandomModel(
            kind="random",
            name=model.name,
            configuration=found.configuration,
            tokenizer=pinned_folder(folder),
            pooling=model.pooling,
            processor=model.processor,
        )
        self.notes.made[f"weights of {model.name}"] = None
        return Small(made, found.anatomies)

    def _made_tokens(
        self, name: str, purposes: Sequence[Purpose], folder: Path, whole: Configuration
    ) -> Configuration:
        """Write a tokenizer, and return the keys of the configuration that it changes."""
        tasks = {spec.task.key: spec.task for spec in self._specs(name)}
        texts = [text for task in tasks.values() for text in self._texts(task)]
        made = MadeTokens(whole, texts, follows=_goes_on(whole, purposes))
        made.write(folder)
        self.notes.made[f"tokenizer of {name}"] = None
        return made.changes()

    def _texts(self, task: Task) -> Iterator[str]:
        """The texts of a task's rows; none where it has no rows, which its own cells say."""
        try:
            yield from words_of(self._rows(task).frames)
        except StageError:
            return

    def _network(self, model: Network) -> Network:
        """The network as it is, with a short pretraining."""
        if model.pretraining is None:
            return model
        training = small_training(model.pretraining.training)
        changed = {"training": training, "task": small_task(model.pretraining.task)}
        pretraining = model.pretraining.model_copy(update=changed)
        return model.model_copy(update={"pretraining": pretraining})

    def _specs(self, model: str) -> Iterable[Specification]:
        return (next(iter(cell.runs.values())) for cell in self.cells if cell.model == model)

    def _purposes(self, model: str) -> list[Purpose]:
        return list(dict.fromkeys(kind_of(spec.task).purpose for spec in self._specs(model)))

    def _prepare(self, spec: Specification) -> None:
        """What the run reads: its task, its model, its encoding. Raises StageError."""
        self._prepare_task(spec.task)
        if pretraining := spec.model.pretraining:
            self._prepare_task(pretraining.task)
            self._encode(pretraining.task, spec.model, pretraining.training)
        key, purposes = model_key(spec.model), self._purposes(spec.model.name)
        prepared = self.folder / "prepared"
        self._stage(
            "model",
            key,
            lambda: prepare_model(
                spec.model,
                prepared / "models" / key,
                prepared / "tasks",
                self.folder / "downloads",
                [one.loader for one in purposes if one.loader],
            ),
        )
        for one in (spec, *_staged("tuning", lambda: [*_trials(spec), *_chosen(spec)])):
            self._encode(spec.task, spec.model, one.training)

    def _prepare_task(self, task: Task) -> None:
        folder = self.folder / "prepared" / "tasks" / task.key
        read = partial(_given, self._rows(task))
        self._stage("task", str(folder), lambda: write_task(task, read, folder))

    def _encode(self, task: Task, model: Model, training: Training) -> None:
        prepared, kind = self.folder / "prepared", kind_of(task)
        encoding = encoding_of(kind, task, model, training.max_length)
        folder = encoded_folder(prepared, encoding)
        key = model_key(model)
        self._stage("encoding", str(folder), lambda: encode_task(encoding, folder, prepared, key))

    def _tried(self, spec: Specification, name: str) -> dict[str, Specification]:
        """Make the trial of a tuned cell, and the choice by it; none where nothing was chosen.

        Raises StageError.
        """
        for one in _trials(spec):
            self._run("trial", one, name)
            self.notes.tried[name] = None
            choice = _staged("tuning", lambda: tune(spec, self.folder, ()))
            if choice.chosen is None:  # a score that is undefined on so few rows
                return {}
            choice.write(self.folder / "tuning" / choice_file(spec))
        return {one.run: one for one in _trials(spec)}

    def _run(self, stage: str, spec: Specification, name: str) -> None:
        """Make a run or a trial. Raises StageError where it has no record, or one of a failure."""
        file = self.folder / "specification.json"
        spec.write(file)
        last = _LastLine()
        logging.getLogger().addHandler(last)
        try:
            code = make_run(["--spec", str(file), "--results", str(self.folder)])
        finally:
            logging.getLogger().removeHandler(last)
        if code == EXIT_TRY_AGAIN:
            raise KeyboardInterrupt
        path = record_file(self.folder / "runs", spec.run)
        if path is None:
            raise StageError(f"{stage}: exit {code}: {last.line}")
        result = Result.read(path)
        if result.state == "undefined":
            self.notes.undefined[name] = None
        elif result.state != "ok":
            raise StageError(f"{stage}: {result.state}: {_line(result.reason or '')}")

    def _stage(self, stage: str, key: str, make: Callable[[], _T]) -> _T:
        """What a stage gives, made once; an error of it is that of all that need it."""
        if (stage, key) not in self._made:
            try:
                self._made[stage, key] = _staged(stage, make)
            except StageError as error:
                self._made[stage, key] = error
        found = self._made[stage, key]
        if isinstance(found, StageError):
            raise found
        return found  # type: ignore[no-any-return]


class _LastLine(logging.Handler):
    """Keeps the last line of a log."""

    line = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.line = record.getMessage()


@contextmanager
def _logged(file: Path) -> Iterator[None]:
    """What the stages say goes to a file."""
    with file.open("w", encoding="utf-8") as stream, redirect_stderr(stream):
        handler = logging.StreamHandler(stream)
        logging.getLogger().addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)


@contextmanager
def _brief() -> Iterator[None]:
    """Latencies take the fewest rounds: nobody reads those of a rehearsal."""
    before, inference.BUDGET_SECONDS = inference.BUDGET_SECONDS, 0.0
    try:
        yield
    finally:
        inference.BUDGET_SECONDS = before


def _staged(stage: str, make: Callable[[], _T]) -> _T:
    try:
        return make()
    except Exception as error:  # whatever the stage ends with is what its cells are told
        logging.getLogger(__name__).exception("%s", stage)
        raise StageError(f"{stage}: {type(error).__name__}: {_line(str(error))}") from error


def _trials(spec: Specification) -> list[Specification]:
    """The one trial of a tuned run."""
    return [trial(spec, values) for values in candidates(spec.tuning)] if spec.tuning else []


def _chosen(spec: Specification) -> list[Specification]:
    """What a tuned run becomes by the values of its trial."""
    return [tuned(spec, values) for values in candidates(spec.tuning)] if spec.tuning else []


def _line(text: str) -> str:
    return " ".join(text.split())


def _nothing(whole: Configuration) -> Configuration:
    """A real tokenizer changes no key."""
    return {}


def _given(found: Handful) -> Read:
    return Read(found.frames)


def _goes_on(whole: Configuration, purposes: Sequence[Purpose]) -> bool:
    """Whether texts go on after what a tokenizer gives: a decoder's, which writes."""
    writes = any(one.loader and one.loader.endswith("CausalLM") for one in purposes)
    return writes and not whole.get("is_encoder_decoder")
