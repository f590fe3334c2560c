"""When the state of a run is kept: every so often, and before its process ends as it was asked."""

import time
from dataclasses import dataclass, field

from finegrid.records.training import Training
from finegrid.training.loop import Event, Trainer
from finegrid.training.processes.distributed import ALONE, Group
from finegrid.training.processes.signals import Interruption, PreemptedError
from finegrid.training.state.checkpoint import Checkpoints, Kept, Past
from finegrid.training.state.snapshot import capture, restore


@dataclass
class Keeper:
    """Keeps one attempt's training, and puts back what an earlier one kept."""

    checkpoints: Checkpoints
    interruption: Interruption
    seconds: float
    """Between two checkpoints; how much a lost machine may cost."""
    training: Training
    """The one in use: its micro-batches may be smaller than the specification's."""
    kept: Kept | None = None
    group: Group = ALONE
    """They keep the state together, when one of them has to; the first writes it down."""
    _last: float = field(default_factory=time.monotonic)

    @property
    def is_due(self) -> bool:
        """Whether the state is to be kept now."""
        asked = self.interruption.name is not None
        return self.group.any(asked or time.monotonic() - self._last >= self.seconds)

    def keep(
        self,
        trainer: Trainer,
        history: list[Event],
        setup_seconds: float,
        resumed_at_steps: tuple[int, ...],
    ) -> None:
        """Write a checkpoint; raise PreemptedError where the process was asked to end.

        Raises OSError where the disk does; an older checkpoint is still there then.
        """
        tensors, state = capture(trainer)
        past = Past(
            training=self.training,
            setup_seconds=setup_seconds,
            resumed_at_steps=resumed_at_steps,
            history=tuple(history),
            trainer=state,
        )
        if self.group.is_first:
            self.checkpoints.save(tensors, past)
        self._obey()
        self._last = time.monotonic()

    def restore(self, trainer: Trainer) -> Past | None:
        """Put the kept state back and return what came with it; None where there is none.

        Raises PreemptedError: before the first step there is nothing new to lose. Raises OSError
        where nodes see different checkpoints, as a shared folder may show them for a while.
        """
        self._obey()
        if not self.group.agrees(len(self.kept.past.history) if self.kept else -1):
            raise OSError(f"{self.checkpoints.folder}: not the same for all nodes of the run")
        if self.kept is None:
            return None
        past = self.kept.past
        restore(trainer, self.kept.tensors(), past.trainer, past.history)
        return past

    def _obey(self) -> None:
        """Raise PreemptedError in all processes where one of them was asked to end."""
        if name := self.group.agreed(self.interruption.name):
            raise PreemptedError(name)
