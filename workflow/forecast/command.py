"""The forecast of a benchmark: its runs, why they would run, their memory and their hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from records.plan import Cell
from records.specification import Specification
from workflow.forecast.hours import Timings
from workflow.forecast.memory import Tracer, peaks
from workflow.forecast.record import CellForecast, Forecast, Peak, Reason, Work
from workflow.forecast.status import Status
from workflow.pipeline import Pipeline

_GIGABYTE = 1_000_000_000
_HOUR = 3600
_NO_WORK = Work(planned=0, would_run={}, hours=0, unknown=0, scaled=0)


def forecast(pipeline: Pipeline, device_memory_gb: float | None, *, trace: bool) -> Forecast:
    """What the benchmark would run, held against the records of its results folder.

    Raises AnalysisError for an invalid record, and OSError.
    """
    status, results = Status(pipeline), Path(pipeline.results)
    records = list(status.records.values())
    found = peaks(pipeline.plan.cells, records, Tracer(results) if trace else None)
    reckoner = _Reckoner(status.reasons, Timings(records), found, device_memory_gb)
    cells = tuple(reckoner.cell(cell, pipeline) for cell in pipeline.plan.cells)
    works = [(cell.gpus, work) for cell in cells for work in (cell.trials, cell.runs)]
    return Forecast(
        benchmark=pipeline.name,
        results=pipeline.results,
        device_memory_gb=device_memory_gb,
        cells=cells,
        hours=sum(work.hours for _, work in works),
        gpu_hours=sum(gpus * work.hours for gpus, work in works),
        unknown=sum(work.unknown for _, work in works),
    )


@dataclass(frozen=True)
class _Reckoner:
    """Adds up what each cell takes."""

    reasons: Mapping[str, Reason | None]
    timings: Timings
    peaks: Mapping[str, Peak]
    device_memory_gb: float | None

    def cell(self, cell: Cell, pipeline: Pipeline) -> CellForecast:
        """What the cell would run, and what that takes."""
        first = next(iter(cell.runs), None)
        peak = self.peaks[first] if first else None
        gpus = pipeline.run_gpus(first) if first else 0
        return CellForecast(
            task=cell.task,
            model=cell.model,
            variant=cell.variant,
            method=cell.method,
            gpus=gpus,
            not_applicable=cell.not_applicable,
            runs=self._work(cell.runs),
            trials=self._work(cell.trials),
            peak=peak,
            fits=self._fits(peak) if gpus else None,
        )

    def _work(self, runs: Mapping[str, Specification]) -> Work:
        if not runs:
            return _NO_WORK
        pending = {run: reason for run in runs if (reason := self.reasons[run])}
        durations = [self.timings.duration(runs[run]) for run in pending]
        known = [one for one in durations if one is not None]
        return Work(
            planned=len(runs),
            would_run=dict(Counter(pending.values())),
            hours=sum(one.seconds for one in known) / _HOUR,
            unknown=len(durations) - len(known),
            scaled=sum(one.scaled for one in known),
        )

    def _fits(self, peak: Peak | None) -> bool | None:
        if self.device_memory_gb is None or peak is None or peak.predicted_bytes is None:
            return None
        return peak.predicted_bytes <= self.device_memory_gb * _GIGABYTE


def errors(cells: Sequence[CellForecast]) -> list[float]:
    """Predicted less measured peak, in measured ones, of every cell whose step was traced."""
    found = []
    for cell in cells:
        peak = cell.peak
        if peak and peak.instrument == "trace" and peak.measured_bytes and peak.predicted_bytes:
            found.append(peak.predicted_bytes / peak.measured_bytes - 1)
    return found
