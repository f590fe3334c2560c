"""The work on a run: going on, starting again smaller, leaving it to a later attempt."""

import logging
import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, Self

from finegrid.models.seeds import lacks_determinism, tolerate_nondeterminism
from finegrid.records.base import Record
from finegrid.records.costs import Seconds
from finegrid.records.identity import content_hash
from finegrid.records.result import Choice, Provenance, Result
from finegrid.records.specification import Specification
from finegrid.records.training import Training
from finegrid.records.tuning import tuned
from finegrid.training.experiment import Run, perform
from finegrid.training.measure.cell import CellCosts
from finegrid.training.processes.distributed import ALONE, Group
from finegrid.training.processes.exits import EXIT_TRY_AGAIN
from finegrid.training.processes.launch import EndedAloneError, Rendezvous, run_workers
from finegrid.training.processes.nodes import run_on_nodes
from finegrid.training.processes.signals import Interruption, PreemptedError
from finegrid.training.record import Ending, Reached, conclude, record, unchosen, write_result
from finegrid.training.shrink import free_memory, with_smaller_micro_batches
from finegrid.training.state.checkpoint import Checkpoints, Identity, Kept
from finegrid.training.state.keeper import Keeper
from finegrid.training.tracking import Tracker
from tasks.registry import kind_of

_LOGGER = logging.getLogger(__name__)


class Assignment(Record):
    """What a node is told of a run over several."""

    planned: Specification
    choice: Choice | None
    origin: Provenance
    prepared: str
    folder: str
    checkpoint_seconds: Seconds
    training: Training
    """With the micro-batches in use."""
    rendezvous: Rendezvous


@dataclass
class Job:
    """A planned run, and what this process was told about it."""

    planned: Specification
    choice: Choice | None
    origin: Provenance
    prepared: Path
    folder: Path
    interruption: Interruption
    checkpoint_seconds: float
    is_tried_again: bool
    """Whether a further attempt follows, with more memory."""
    group: Group = ALONE
    """The processes that train the run; a run of several devices starts its own."""

    def __post_init__(self) -> None:
        chosen = self.choice.chosen if self.choice else None
        self.spec = tuned(self.planned, chosen) if chosen else self.planned
        self.checkpoints = Checkpoints(self.folder, self._identity())

    @classmethod
    def of(cls, assignment: Assignment, interruption: Interruption) -> Self:
        """The same job on another node."""
        return cls(
            planned=assignment.planned,
            choice=assignment.choice,
            origin=assignment.origin,
            prepared=Path(assignment.prepared),
            folder=Path(assignment.folder),
            interruption=interruption,
            checkpoint_seconds=assignment.checkpoint_seconds,
            is_tried_again=False,
        )

    def perform(self) -> int:
        """Work until the run is recorded, and return the exit code.

        Memory that runs out on the CPU or on a GPU that runs share is left to a further attempt,
        which has more; else the run starts again with half the micro-batch, as long as there is
        half. Raises PreemptedError and OSError.
        """
        kept = self.checkpoints.latest()
        training = kept.past.training if kept else self.spec.training
        is_shared = self.spec.training.devices > 1 and not unchosen(self.choice)
        attempt = self._try_together if is_shared else self._try
        while (code := attempt(training, kept)) is None:
            kept, training = None, self._smaller(training) or training
            self.checkpoints.delete()
            free_memory()
            _LOGGER.info("%s: starts again in micro-batches of %s", self._run, _extent(training))
        return code

    def _try(self, training: Training, kept: Kept | None) -> int | None:
        """The exit code, or None where the run is to start again with smaller micro-batches.

        When it returns, nothing refers to the model any more.
        """
        run, tracker = self._begun(training, kept)
        reached: Reached = {}
        try:
            ending = unchosen(self.choice) or conclude(partial(perform, run, reached))
        except PreemptedError:
            tracker.abandon()
            raise
        if self.group.size > 1 and ending.state in ("oom", "failed"):
            tracker.abandon()
            raise EndedAloneError(ending)
        if self._tolerates(ending):
            tracker.abandon()
            return self._try(training, None)
        return self._end(ending, reached, tracker, training)

    def _try_together(self, training: Training, kept: Kept | None) -> int | None:
        """The same, in processes of the run's own, one a device.

        Where one of them ends alone, all that is known of the run is how that one ended. One that
        is lost after a request to end may have been ended by it, before it could hear it.
        """
        threads = self.origin.threads
        try:
            if training.nodes > 1:
                work = partial(self._assignment, training)
                return run_on_nodes(work, training, threads, self.interruption)
            part = partial(take_part, self, training)
            return run_workers(part, training, threads, self.interruption)
        except EndedAloneError as error:
            ending = error.ending
        if ending.state == "failed" and self.interruption.name:
            _LOGGER.error("%s: %s", self._run, ending.reason)
            self.interruption.obey()
        if self._tolerates(ending):
            return self._try_together(training, None)
        _, tracker = self._begun(training, kept)
        return self._end(ending, {}, tracker, training)

    def _tolerates(self, ending: Ending) -> bool:
        """Whether the run starts again for an operation that has no deterministic form.

        The record says so then: the same run may give other bits.
        """
        lacks = ending.state == "failed" and lacks_determinism(ending.reason or "")
        if not (lacks and self.origin.deterministic):
            return False
        _LOGGER.warning("%s: starts again without determinism: %s", self._run, ending.reason)
        self.origin = self.origin.model_copy(update={"deterministic": False})
        tolerate_nondeterminism()
        self.checkpoints.delete()
        free_memory()
        return True

    def _assignment(self, training: Training, rendezvous: Rendezvous) -> str:
        return Assignment(
            planned=self.planned,
            choice=self.choice,
            origin=self.origin,
            prepared=str(self.prepared.absolute()),
            folder=str(self.folder.absolute()),
            checkpoint_seconds=self.checkpoint_seconds,
            training=training,
            rendezvous=rendezvous,
        ).model_dump_json()

    def _begun(self, training: Training, kept: Kept | None) -> tuple[Run, Tracker]:
        spec = self.spec.model_copy(update={"training": training})
        tracker = self._tracker(spec, kept)
        keeper = self._keeper(training, kept)
        cell = CellCosts.of(self._run, spec, self.origin, self.folder.parents[1])
        run = Run(spec, self.prepared, self.folder, tracker.log, keeper, self.group, cell)
        return run, tracker

    def _end(
        self, ending: Ending, reached: Reached, tracker: Tracker, training: Training
    ) -> int | None:
        """Record the run, unless something may help it; the exit code, or None to start again."""
        remedy = self._remedy(ending, training)
        if remedy:
            tracker.abandon()
            _LOGGER.warning("%s: oom (%s)", self._run, ending.reason)
            return EXIT_TRY_AGAIN if remedy == "memory" else None
        if self.group.is_first:
            result = record(reached, self.planned, self.choice, ending, self.origin)
            self._record(result.model_copy(update=_changed(self.spec.training, training)), tracker)
        return ending.exit_code

    def _remedy(self, ending: Ending, training: Training) -> Literal["memory", "shrink"] | None:
        """What may help a run whose memory ran out."""
        if ending.state != "oom" or unchosen(self.choice):
            return None  # of a run that chose nothing it was its trials' memory
        shares = training.device == "cpu" or training.runs_per_device != 1
        if self.is_tried_again and shares:
            return "memory"
        return "shrink" if ending.step is not None and self._smaller(training) else None

    def _record(self, result: Result, tracker: Tracker) -> None:
        """Write the result; only then is what was kept of the training needed no more."""
        tracker.finish(result)
        write_result(result.model_copy(update={"tracking": tracker.record()}), self.folder)
        if result.state != "failed":
            self.checkpoints.delete()
        reason = f" ({result.reason})" if result.reason else ""
        _LOGGER.info("%s: %s%s", self._run, result.state, reason)

    @property
    def _run(self) -> str:
        return self.planned.run

    def _smaller(self, training: Training) -> Training | None:
        longest = kind_of(self.spec.task).inputs.longest(training.max_length, self.spec.model)
        return with_smaller_micro_batches(training, longest)

    def _tracker(self, spec: Specification, kept: Kept | None) -> Tracker:
        tracker = Tracker(self.planned, self.folder, spec)
        if kept:
            steps = sum("loss" in event for event in kept.past.history)
            _LOGGER.info("%s: goes on after step %d", self._run, steps)
            tracker.replay(kept.past.history)
        return tracker

    def _keeper(self, training: Training, kept: Kept | None) -> Keeper:
        return Keeper(
            self.checkpoints,
            self.interruption,
            self.checkpoint_seconds,
            training,
            kept,
            self.group,
        )

    def _identity(self) -> Identity:
        machine = self.origin.machine
        return Identity(
            run=self.planned.run,
            specification=content_hash(self.spec),
            source_digest=self.origin.source_digest,
            packages=self.origin.packages,
            python=self.origin.python,
            device=self.origin.device,
            processor=machine.processor,
            accelerator=machine.accelerator,
            threads=self.origin.threads,
        )


def _extent(training: Training) -> str:
    """How much a micro-batch holds, in words."""
    if training.micro_batch_units is not None:
        return f"{training.micro_batch_units} units"
    return str(training.micro_batch_size)


def _changed(asked: Training, used: Training) -> dict[str, int | None]:
    """The micro-batches that were really used, where they are not those that were asked for."""
    keys = ("micro_batch_size", "micro_batch_units")
    return {key: getattr(used, key) for key in keys if getattr(used, key) != getattr(asked, key)}


def take_part(job: Job, training: Training, group: Group, interruption: Interruption) -> int | None:
    """What one process of a group does for its run; the first of them writes it down."""
    if not group.is_first:
        os.environ["WANDB_MODE"] = "disabled"
    if not job.origin.deterministic:
        tolerate_nondeterminism()
    own = replace(job, group=group, interruption=interruption)
    return own._try(training, own.checkpoints.latest())  # it is the same class
