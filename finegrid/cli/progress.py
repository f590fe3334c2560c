"""What a person sees while a benchmark runs: which runs are done, running, left, and until when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from finegrid.records.result import FAILURE_FILE, RESULT_FILE
from finegrid.training.processes.signals import Interruption

_POLL_SECONDS = 1.0


@dataclass
class Watch:
    """Follows the runs of a plan by the files that they leave."""

    results: Path
    runs: list[str]
    started: float = field(default_factory=time.monotonic)
    finished_before: frozenset[str] = frozenset()
    logs_before: dict[str, int | None] = field(default_factory=dict)
    """When each run's log was written last. Later ones may look older: a clock may be set back."""

    def __post_init__(self) -> None:
        self.finished_before = frozenset(self.finished())
        self.logs_before = {run: self._logged(run) for run in self.runs}

    def finished(self) -> list[str]:
        """Runs with a record, in the order of the plan."""
        return [run for run in self.runs if self._folder(run, RESULT_FILE).exists()]

    def running(self) -> list[str]:
        """Runs whose job has begun since the watch began, and that have no record yet."""
        return [run for run in self.runs if self._begun(run) and not self._recorded(run)]

    def unfinished(self) -> list[str]:
        """Runs whose job has begun since the watch began, and that left no result."""
        return [
            r for r in self.runs if self._begun(r) and not self._folder(r, RESULT_FILE).exists()
        ]

    def seconds_left(self) -> float | None:
        """From the pace of this session; None before its first run has finished."""
        finished = self.finished()
        new = len(set(finished) - self.finished_before)
        if not new:
            return None
        return (time.monotonic() - self.started) / new * (len(self.runs) - len(finished))

    def outcome(self, run: str) -> str:
        """A finished run in a few words."""
        record = json.loads(self._folder(run, RESULT_FILE).read_text(encoding="utf-8"))
        if record["state"] != "ok":
            return f"{record['state']}: {record['reason']}"
        metrics, is_trial = record["metrics"], record["spec"]["role"] == "trial"
        split = "validation" if is_trial else "test"
        primary = metrics.get("selected_by", metrics["primary"]) if is_trial else metrics["primary"]
        score = metrics[split][primary]["value"]
        seconds = record["time"]["train_seconds"]
        return f"{split} {primary} {score:.3f}, {seconds:.0f} s of training"

    def log(self, run: str) -> Path:
        """Where the run's job writes."""
        return self.results / "logs" / f"run-{run}.log"

    def _begun(self, run: str) -> bool:
        return self._logged(run) not in (None, self.logs_before[run])

    def _logged(self, run: str) -> int | None:
        log = self.log(run)
        return log.stat().st_mtime_ns if log.exists() else None

    def _recorded(self, run: str) -> bool:
        return any(self._folder(run, name).exists() for name in (RESULT_FILE, FAILURE_FILE))

    def _folder(self, run: str, name: str) -> Path:
        return self.results / "runs" / run / name


@dataclass(frozen=True)
class Milestone:
    """Runs that are told of once all of them are done, before the others are."""

    runs: frozenset[str]
    tell: Callable[[], None]


def follow(
    process: subprocess.Popen[bytes],
    interruption: Interruption,
    watch: Watch,
    console: Console,
    milestone: Milestone | None = None,
) -> None:
    """Show the runs until the process ends, which leads a session of its own.

    A request to end goes on, once, to all of that session as the terminal's SIGINT: Snakemake then
    waits for the runs, and each leaves a checkpoint. Snakemake alone would let them go on.
    """
    known, told = set(watch.finished_before), False
    if milestone and milestone.runs <= known:
        milestone = None  # they were done before
    with _display(watch, console) as refresh:
        while True:
            ended = process.poll() is not None
            if interruption.name and not told and not ended:
                told = True
                os.killpg(process.pid, signal.SIGINT)
                console.print(f"{interruption.name}: the runs leave checkpoints, and end")
            refresh()
            for run in watch.finished():
                if run not in known:
                    known.add(run)
                    _announce(watch, run, console)
            if milestone and milestone.runs <= known and len(known) < len(watch.runs):
                milestone.tell()
                milestone = None
            if ended:
                return
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)


def _announce(watch: Watch, run: str, console: Console) -> None:
    done = f"{len(watch.finished())} of {len(watch.runs)}"
    left = "" if console.is_terminal else f" ({done}, {_left(watch)})"
    console.print(
        f"  {run}  [dim]{watch.outcome(run)}{left}[/dim]", highlight=False, soft_wrap=True
    )


@contextmanager
def _display(watch: Watch, console: Console) -> Iterator[Callable[[], None]]:
    if not console.is_terminal:
        yield lambda: None
        return
    bar = Progress(TextColumn("[bold]runs"), BarColumn(), MofNCompleteColumn(), console=console)
    task = bar.add_task("runs", total=len(watch.runs))
    with Live(console=console, refresh_per_second=2) as live:

        def refresh() -> None:
            bar.update(task, completed=len(watch.finished()))
            live.update(Group(bar, Text(f"{_stage(watch)} · {_left(watch)}", style="dim")))

        yield refresh


def _stage(watch: Watch) -> str:
    running = watch.running()
    if running:
        return "running: " + ", ".join(running)
    finished = len(watch.finished())
    return "tables and plots" if finished == len(watch.runs) else "preparing data and models"


def _left(watch: Watch) -> str:
    seconds = watch.seconds_left()
    if seconds is None:
        return "time left: known after the first run"
    end = time.strftime("%H:%M", time.localtime(time.time() + seconds))
    return f"about {max(1, round(seconds / 60))} min left, until {end}"
