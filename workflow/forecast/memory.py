"""The peak memory of every cell: traced in a process of its own, and kept by content."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from finegrid.models.anatomies import Anatomies
from finegrid.models.blueprint import Purpose
from finegrid.planning.estimate import device_bytes
from finegrid.records.identity import canonical_json
from finegrid.records.plan import Cell
from finegrid.records.prediction import Prediction, Question
from finegrid.records.result import Result
from finegrid.records.specification import Specification, model_key
from finegrid.records.training import accumulates, largest_share
from finegrid.records.tuning import effective, possible
from finegrid.training.measure.traces import FOLDER, TRACE, TRACED, Traces
from methods.registry import METHODS
from tasks.registry import kind_of
from workflow.forecast.prepared import drawn_modules
from workflow.forecast.record import Peak

BatchKey = tuple[Any, ...]
Batches = Mapping[BatchKey, tuple[tuple[int, int], int | None]]
"""What decides a largest micro-batch -> how large it was, as (examples, padded tokens), and the
terms of its longest target, where these have lengths of their own."""
Sizes = Mapping[str, int]
"""Step and micro-batch -> bytes."""
NO_TRACE = Prediction(peak_bytes=None, reason="tracing was left out")


@dataclass(frozen=True)
class Tracer:
    """Traces steps in one process, each of them once for all cells and calls."""

    results: Path
    anew: bool = True
    """Whether what nobody has traced before is traced now; else there is no prediction of it."""
    _drawn: dict[tuple[str, Purpose], tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def _traces(self) -> Traces:
        return Traces(self.results / "prepared")

    def trace(self, questions: Sequence[Question]) -> list[Prediction]:
        """A prediction for each question, from the folder or from a new trace."""
        known = [self._traces.known(question) for question in questions]
        if not self.anew:
            return [answer or NO_TRACE for answer in known]
        missing = {
            self._traces.name(question): question
            for question, answer in zip(questions, known, strict=True)
            if answer is None
        }
        answers = dict(zip(missing, _traced(list(missing.values())), strict=True))
        for name, question in missing.items():
            self._traces.keep(question, answers[name])
        return [
            answer or answers[self._traces.name(question)]
            for question, answer in zip(questions, known, strict=True)
        ]

    def drawn_modules(self, spec: Specification) -> tuple[str, ...]:
        """The modules that the checkpoint of a run's model lacks, looked up once."""
        key = model_key(spec.model), kind_of(spec.task).purpose
        if key not in self._drawn:
            self._drawn[key] = drawn_modules(spec.model, key[1], self.results)
        return self._drawn[key]


_standing_by: list[subprocess.Popen[str]] = []
"""A process that loads its libraries before it is known what to ask."""


@contextmanager
def standing_by(results: Path) -> Iterator[None]:
    """Let the process that traces load its libraries while the block plans.

    Only where no trace is kept: else most likely it is not needed.
    """
    if not (results / "prepared" / FOLDER).is_dir():
        _standing_by.append(_started())
    try:
        yield
    finally:
        for process in _standing_by:
            process.kill()
            process.communicate()
        _standing_by.clear()


def _started() -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", TRACE]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)  # noqa: S603


def _traced(questions: Sequence[Question]) -> list[Prediction]:
    """The answers of a process of its own, which loads torch, to questions of one line each."""
    if not questions:
        return []
    process = _standing_by.pop() if _standing_by else _started()
    said, told = process.communicate(
        "".join(question.model_dump_json() + "\n" for question in questions)
    )
    answers = [Prediction.model_validate_json(line) for line in said.splitlines()]
    lost = len(questions) - len(answers)
    words, code = told.strip().splitlines()[-1:], process.returncode
    ended = f"not predictable: the trace ended with exit code {code}: {''.join(words)}"
    return answers + [Prediction(peak_bytes=None, reason=ended)] * lost


def peaks(
    cells: Sequence[Cell],
    records: Sequence[Result],
    tracer: Tracer | None,
    anatomies: Anatomies,
) -> dict[str, Peak]:
    """The peak of every cell that has runs, by the identity of its first run.

    Of what a tuning may choose, the peak of the choice that takes most: a scheduler is asked for
    as much. Traced by the tracer; the arithmetic bound takes the place of what cannot be traced,
    and of everything without a tracer.
    """
    firsts = [run for cell in cells for run in list(cell.runs.items())[:1]]
    specs = [(run, choice) for run, spec in firsts for choice in possible(spec)]
    known, measured = _recorded_batches(records), _measured(records)
    questions = [
        _question(spec, known, tracer.drawn_modules(spec) if tracer else ()) for _, spec in specs
    ]
    answers = tracer.trace(questions) if tracer else [NO_TRACE] * len(questions)
    found: dict[str, Peak] = {}
    for (run, _), question, answer in zip(specs, questions, answers, strict=True):
        bound = None
        if answer.peak_bytes is None:
            bound = _bound(question.spec, anatomies)
        peak = _peak(question, answer, bound, known, measured)
        found[run] = max(
            *(found.get(run, peak), peak), key=lambda one: (one.run_fails, one.predicted_bytes or 0)
        )
    return found


def _question(spec: Specification, known: Batches, drawn: tuple[str, ...]) -> Question:
    """The largest step of a run: the recorded one, or the largest that there may be."""
    batch, terms = known.get(_batch_key(spec), (_largest(spec), None))
    return Question(spec=spec, batch=batch, terms=terms, drawn_modules=drawn)


def _bound(spec: Specification, anatomies: Anatomies) -> int:
    trains_base = METHODS.get(spec.variant.method).trains_base
    anatomy = anatomies.of(spec.model, kind_of(spec.task).purpose)
    return device_bytes(spec, anatomy, trains_base=trains_base)


def _peak(
    question: Question, answer: Prediction, bound: int | None, known: Batches, measured: Sizes
) -> Peak:
    spec = question.spec
    traced = answer.peak_bytes is not None
    return Peak(
        batch=question.batch,
        measured_batch=_batch_key(spec) in known,
        predicted_bytes=answer.peak_bytes if traced else bound,
        instrument="trace" if traced else "bound",
        reason=answer.reason,
        run_fails=answer.run_fails,
        measured_bytes=measured.get(_step_key(spec, question.batch)),
    )


def _measured(records: Sequence[Result]) -> Sizes:
    """The largest peak of the records of each step and micro-batch."""
    found: dict[str, int] = {}
    for one in records:
        if one.memory is not None:
            key = _step_key(_performed(one), one.memory.batch)
            found[key] = max(found.get(key, 0), one.memory.peak_training_bytes)
    return found


def _performed(record: Result) -> Specification:
    """What the run did in the micro-batches that memory sufficed for."""
    spec, used = effective(record), record.used_micro_batches
    return spec.model_copy(update={"training": spec.training.model_copy(update=used)})


def _step_key(spec: Specification, batch: tuple[int, int]) -> str:
    """What decides the memory of a step."""
    training = spec.training.model_dump(mode="json", include=set(TRACED))
    variant = [spec.variant.method, dict(spec.variant.settings)]
    adds_up = accumulates(spec.training, batch[1])
    return canonical_json([*_batch_key(spec), *variant, training, batch, adds_up])


def _batch_key(spec: Specification) -> BatchKey:
    """What decides how large the largest micro-batch, or a device's share of it, is."""
    training = spec.training
    share = training.micro_batch_units or largest_share(training, size=1)
    return spec.task.key, model_key(spec.model), training.max_length, training.batch_size, share


def _recorded_batches(records: Sequence[Result]) -> Batches:
    """Those of the runs whose memory sufficed for the micro-batch of their specification."""
    whole = [one for one in records if not one.used_micro_batches]
    return {
        _batch_key(effective(one)): (one.memory.batch, one.memory.terms)
        for one in whole
        if one.memory is not None
    }


def _largest(spec: Specification) -> tuple[int, int]:
    """The largest that the specification allows."""
    training = spec.training
    length = kind_of(spec.task).inputs.longest(training.max_length, spec.model)
    return largest_share(training, length), length
