"""The forecast of a benchmark: its runs, why they would run, their memory and their hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from finegrid.records.plan import Cell
from workflow.forecast.hours import Timings
from workflow.forecast.memory import Tracer, peaks
from workflow.forecast.record import CellForecast, Forecast, Job, Peak, Reason, Work
from workflow.forecast.status import Status
from workflow.pipeline import Pipeline

_GIGABYTE = 1_000_000_000
_HOUR = 3600
_MINUTE = 60


def forecast(pipeline: Pipeline, device_memory_gb: float | None, *, trace: bool) -> Forecast:
    """What the benchmark would run, held against the records of its results folder.

    Raises AnalysisError for an invalid record or manifest, and OSError.
    """
    status, results = Status(pipeline), Path(pipeline.results)
    records = list(status.records.values())
    tracer = Tracer(results) if trace else None
    found = peaks(pipeline.plan.cells, records, tracer, pipeline.anatomies)
    reckoner = _Reckoner(
        pipeline, status.reasons, Timings(records, pipeline.anatomies), found, device_memory_gb
    )
    cells = tuple(map(reckoner.cell, pipeline.plan.cells))
    return _summed(cells, status, device_memory_gb)


def _summed(
    cells: tuple[CellForecast, ...], status: Status, device_memory_gb: float | None
) -> Forecast:
    jobs = [job for cell in cells for job in cell.jobs]
    return Forecast(
        benchmark=status.pipeline.name,
        results=status.pipeline.results,
        device_memory_gb=device_memory_gb,
        unchecked_models=status.unchecked_models,
        cells=cells,
        hours=_hours(job.seconds for job in jobs),
        gpu_hours=_hours(job.gpus * (job.seconds or 0) for job in jobs),
        unknown=sum(cell.runs.unknown + cell.trials.unknown for cell in cells),
        bounded=sum(cell.runs.bounded + cell.trials.bounded for cell in cells),
        bound_hours=_hours(job.bound_seconds for job in jobs),
        bound_gpu_hours=_hours(job.gpus * (job.bound_seconds or 0) for job in jobs),
    )


@dataclass(frozen=True)
class _Reckoner:
    """Adds up what each cell takes."""

    pipeline: Pipeline
    reasons: Mapping[str, Reason | None]
    timings: Timings
    peaks: Mapping[str, Peak]
    device_memory_gb: float | None

    def cell(self, cell: Cell) -> CellForecast:
        """What the cell would run, and what that takes."""
        first = next(iter(cell.runs), None)
        peak = self.peaks[first] if first else None
        gpus = self.pipeline.run_gpus(first) if first else 0
        trials, runs = [[self._job(run) for run in one] for one in (cell.trials, cell.runs)]
        return CellForecast(
            task=cell.task,
            model=cell.model,
            variant=cell.variant,
            method=cell.method,
            gpus=gpus,
            not_applicable=cell.not_applicable,
            runs=_work(runs),
            trials=_work(trials),
            jobs=(*trials, *runs),
            peak=peak,
            fits=self._fits(peak) if gpus else None,
        )

    def _job(self, run: str) -> Job:
        spec, reason = self.pipeline.jobs[run], self.reasons[run]
        time = self.timings.duration(spec) if reason else None
        return Job(
            run=run,
            role=spec.role,
            gpus=self.pipeline.run_gpus(run),
            reason=reason,
            seconds=time.seconds if time else None,
            scaled=bool(time and time.scaled),
            bound_seconds=self._bound(run) if reason and not time else None,
        )

    def _bound(self, run: str) -> int | None:
        """The seconds that a scheduler is asked for first; None before the task is prepared."""
        try:
            return _MINUTE * self.pipeline.run_minutes(run, attempt=1)
        except FileNotFoundError:
            return None

    def _fits(self, peak: Peak | None) -> bool | None:
        if self.device_memory_gb is None or peak is None or peak.predicted_bytes is None:
            return None
        fits = peak.predicted_bytes <= self.device_memory_gb * _GIGABYTE
        return fits or (None if peak.instrument == "bound" else False)


def _work(jobs: Sequence[Job]) -> Work:
    pending = [job for job in jobs if job.reason]
    return Work(
        planned=len(jobs),
        would_run=dict(Counter(job.reason for job in pending if job.reason)),
        hours=_hours(job.seconds for job in pending),
        scaled=sum(job.scaled for job in pending),
        unknown=sum(job.seconds is None for job in pending),
        bounded=sum(job.bound_seconds is not None for job in pending),
        bound_hours=_hours(job.bound_seconds for job in pending),
    )


def _hours(seconds: Iterable[float | None]) -> float:
    return sum(one or 0 for one in seconds) / _HOUR


def errors(cells: Sequence[CellForecast]) -> list[float]:
    """Predicted less measured peak, in measured ones, of every cell whose step was traced."""
    found = []
    for cell in cells:
        peak = cell.peak
        if peak and peak.instrument == "trace" and peak.measured_bytes and peak.predicted_bytes:
            found.append(peak.predicted_bytes / peak.measured_bytes - 1)
    return found
