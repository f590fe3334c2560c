"""Which runs of a plan are done, and why the others would run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.reading import read_results
from finegrid.prepare.sources import is_local
from finegrid.records.place import record_file
from finegrid.records.result import FAILURE_FILE, RESULT_FILE, Result
from finegrid.records.specification import Specification
from finegrid.records.tuning import effective
from workflow.forecast.prepared import data_sha256, is_pinned, model_sha256
from workflow.forecast.record import Reason
from workflow.pipeline import Pipeline


@dataclass(frozen=True)
class Status:
    """The state of a plan against the records of a results folder."""

    pipeline: Pipeline

    @cached_property
    def records(self) -> dict[str, Result]:
        """Run identity -> record, of every run of the folder that left a result.

        Raises AnalysisError that names every invalid record.
        """
        return read_results(sorted(self._runs.glob(f"*/{RESULT_FILE}")))

    @cached_property
    def reasons(self) -> dict[str, Reason | None]:
        """Every run and trial of the plan -> why it would run, or None where it is done."""
        found = {run: self._reason(run) for run in self.pipeline.jobs}
        for cell in self.pipeline.plan.cells:
            pending = any(found[trial] for trial in cell.trials)
            for run in cell.runs:
                if found[run] is None and (pending or not self._has_choice(run)):
                    found[run] = "tuning"
        return found

    @property
    def unchecked_models(self) -> tuple[str, ...]:
        """The models of done runs that may be others than the records': only loading them tells."""
        done = [run for run, reason in self.reasons.items() if reason is None]
        jobs = self.pipeline.jobs
        unknown = {
            jobs[run].model.name
            for run in done
            if not is_pinned(jobs[run].model) and self._model_hash(run, jobs[run]) is None
        }
        return tuple(sorted(unknown))

    @property
    def _runs(self) -> Path:
        return Path(self.pipeline.results) / "runs"

    @cached_property
    def _others(self) -> dict[str, list[str]]:
        """Cell and seed -> the folder's runs of these that are not of the plan."""
        folders = self._runs.iterdir() if self._runs.is_dir() else ()
        names = {folder.name for folder in folders if record_file(self._runs, folder.name)}
        found: dict[str, list[str]] = {}
        for name in names - self.pipeline.jobs.keys():
            found.setdefault(_cell_and_seed(name), []).append(name)
        return found

    def _reason(self, run: str) -> Reason | None:
        record = self.records.get(run)
        if record is None:
            if (self._runs / run / FAILURE_FILE).exists():
                return "failed"
            return self._reason_for_another(run)
        if not self._data_are_those_of(run, record):
            return "data"
        return (
            None if record.provenance.source_digest == self.pipeline.run_digest(run) else "source"
        )

    def _reason_for_another(self, run: str) -> Reason:
        """Why a run without a record is another than those of its cell and seed that have one."""
        others = self._others.get(_cell_and_seed(run), [])
        if not others:
            return "new"
        planned = _without_content(self.pipeline.jobs[run])
        specs = (self.records[name].spec for name in others if name in self.records)
        return "data" if planned in map(_without_content, specs) else "specification"

    def _data_are_those_of(self, run: str, record: Result) -> bool:
        """Whether task, model and encoding are there, with the record's hashes as far as known."""
        task, model = Path(self.pipeline.run_task(run)), Path(self.pipeline.run_model(run))
        encoded = map(Path, self.pipeline.run_encodings(run))
        if not all(path.exists() for path in (task, model, *encoded)):
            return False
        read = record.provenance
        pairs = (
            (read.data_sha256, self._hash(task, data_sha256)),
            (read.model_sha256, self._model_hash(run, effective(record))),
        )
        return all(then == now for then, now in pairs if then and now)

    def _model_hash(self, run: str, spec: Specification) -> str | None:
        """The hash that a run has of its model; None where only loading it tells."""
        if spec.training.weights != "fp32":
            return None  # it is that of rounded numbers
        return self._hash(Path(self.pipeline.run_model(run)), model_sha256)

    def _hash(self, manifest: Path, compute: Callable[[Path], str | None]) -> str | None:
        if manifest not in self._hashes:
            self._hashes[manifest] = compute(manifest)
        return self._hashes[manifest]

    @cached_property
    def _hashes(self) -> dict[Path, str | None]:
        """Of each manifest, computed once: thousands of runs have few of them."""
        return {}

    def _has_choice(self, run: str) -> bool:
        return all(Path(path).exists() for path in self.pipeline.run_choice(run))


def _cell_and_seed(run: str) -> str:
    return run.rpartition("-")[0]


def _without_content(spec: Specification) -> dict[str, Any]:
    """The specification, whatever its local sources hold, a model's configuration included."""
    plain = spec.model_dump(mode="json")
    pretraining = plain["model"].get("pretraining") or {}
    for record in (plain["task"], plain["model"], pretraining.get("task", {})):
        for key in ("source", "tokenizer"):
            if (source := record.get(key)) and is_local(source["uri"]):
                source.pop("sha256")
                if key == "source":
                    record.pop("configuration", None)
    return plain
