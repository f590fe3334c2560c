"""The course of a training: its events, and where it goes on from an earlier attempt."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from finegrid.records.costs import Time
from finegrid.records.identity import canonical_json
from finegrid.training.loop import Event, Trained, Trainer
from finegrid.training.state.keeper import Keeper


@dataclass
class Course:
    """What a training leaves behind step by step, and what takes it up again.

    A trainer calls `log`, `restore` and `between`.
    """

    mirror: Callable[[Event], None]
    keeper: Keeper | None
    """Without one, nothing is kept of a training that is interrupted."""
    started: float
    """When the set-up of this attempt began, by `time.perf_counter`."""
    setup_seconds: float = 0.0
    """Of the first attempt, up to its first step: what one set-up costs."""
    history: list[Event] = field(default_factory=list)
    resumed_at_steps: tuple[int, ...] = ()

    def log(self, event: Event) -> None:
        """Note an event: one a training step, and one an evaluation."""
        self.history.append({key: _finite(value) for key, value in event.items()})
        self.mirror(event)

    def restore(self, trainer: Trainer) -> None:
        """End the set-up; go on where an earlier attempt was interrupted, if there was one."""
        self.setup_seconds = time.perf_counter() - self.started
        past = self.keeper.restore(trainer) if self.keeper else None
        if past:
            self.history[:] = past.history
            self.setup_seconds = past.setup_seconds
            self.resumed_at_steps = (*past.resumed_at_steps, len(trainer.losses))

    def between(self, trainer: Trainer) -> None:
        """Keep the state where that is due. Raises PreemptedError where the run is to end."""
        if self.keeper and self.keeper.is_due:
            self.keeper.keep(trainer, self.history, self.setup_seconds, self.resumed_at_steps)

    def times(self, trained: Trained, scoring_seconds: float) -> Time:
        """What set-up, training and scoring took."""
        steps, tokens = trained.step_seconds, trained.tokens
        total = sum(steps)
        return Time(
            setup_seconds=self.setup_seconds,
            train_seconds=total,
            evaluate_seconds=trained.evaluate_seconds + scoring_seconds,
            step_median_seconds=median(steps) if steps else None,
            step_p95_seconds=_p95(steps) if steps else None,
            tokens_per_second=tokens / total if steps and tokens is not None else None,
            examples_per_second=trained.examples / total if steps else None,
            steps=len(steps),
        )

    def write(self, path: Path) -> None:
        """`history.jsonl`: one line a training step and one an evaluation."""
        lines = "".join(canonical_json(event) + "\n" for event in self.history)
        path.write_text(lines, encoding="utf-8")


def _finite(value: Any) -> Any:
    """None for a float that JSON cannot hold: a diverged step is written down all the same."""
    if isinstance(value, dict):
        return {key: _finite(below) for key, below in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value


def _p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20)[-1] if len(values) > 1 else values[0]
