"""A results folder in which runs of a small benchmark are done."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from records import result as module
from records.prepared import PreparedTask, Split, SplitName
from records.result import RESULT_FILE, Choice, Result, Score, Trial
from records.specification import Specification
from records.tuning import candidates, choose, trial, tuning_key
from workflow.pipeline import Pipeline

REFERENCE = Path(module.__file__).parents[1] / "results" / "reference" / "runs"
DATA = "a" * 64
SIZES: dict[SplitName, int] = {"train": 64, "validation": 20, "test": 20}


def recorded(spec: Specification, digest: str, **changes: Any) -> Result:
    """A record of that run, as a committed one has it but for the changes."""
    old = Result.read(min(REFERENCE.glob(f"*/{RESULT_FILE}")))
    origin = old.provenance.model_copy(
        update={"source_digest": digest, "data_sha256": DATA} | changes.pop("provenance", {})
    )
    fields = {"run": spec.run, "spec": spec, "tuning": None, "files": {}, "record_sha256": None}
    if spec.tuning is not None:
        fields["tuning"] = _choice(spec)
    if spec.role == "trial" and old.metrics:
        fields["metrics"] = old.metrics.model_copy(update={"test": {}})
    return old.model_copy(update=fields | {"provenance": origin} | changes)


def _choice(spec: Specification) -> Choice:
    """The choice of the first candidate by its one trial."""
    assert spec.tuning is not None
    values = candidates(spec.tuning)[0]
    score = Score(value=0.5, n=20)
    one = Trial(run=trial(spec, values).run, values=values, state="ok", score=score)
    return choose(tuning_key(spec), "accuracy", [one])


@dataclass(frozen=True)
class Place:
    """A benchmark file, and the results folder beside it."""

    folder: Path
    file: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def pipeline(self, **changes: Any) -> Pipeline:
        """The pipeline of the benchmark, with other keys."""
        content = yaml.safe_load(self.file.read_text()) | changes
        self.file.write_text(yaml.safe_dump(content))
        return Pipeline.plan_from({"benchmark": str(self.file), "results": str(self.results)})

    def record(self, pipeline: Pipeline, run: str, **changes: Any) -> Path:
        """Write the record of a run."""
        path = self.results / "runs" / run / RESULT_FILE
        recorded(pipeline.jobs[run], pipeline.run_digest(run), **changes).write(path)
        return path

    def prepare(self, pipeline: Pipeline, sha256: str = DATA) -> None:
        """Write the manifests of every task and model, as if long ago."""
        for run, spec in pipeline.jobs.items():
            task, model = Path(pipeline.run_task(run)), Path(pipeline.run_model(run))
            _manifest(spec, sha256).write(task)
            for name in SIZES:
                task.with_name(f"{name}.parquet").write_bytes(b"rows")
            model.parent.mkdir(parents=True, exist_ok=True)
            model.write_text(json.dumps({}))
            os.utime(model, (0, 0))
            for choice in map(Path, pipeline.run_choice(run)):
                choice.parent.mkdir(parents=True, exist_ok=True)
                choice.write_text("{}")

    def finish(self, pipeline: Pipeline) -> Pipeline:
        """Prepare everything, and write the record of every run and trial."""
        self.prepare(pipeline)
        for run in pipeline.jobs:
            self.record(pipeline, run)
        return pipeline


def _manifest(spec: Specification, sha256: str) -> PreparedTask:
    return PreparedTask(
        key=spec.task.key,
        spec=spec.task,
        kind="image-classification",
        labels=("zero", "one"),
        metrics=("accuracy",),
        splits={
            name: Split(n=n, sha256="b" * 64, file_sha256="c" * 64) for name, n in SIZES.items()
        },
        overlaps=(),
        sha256=sha256,
    )
