"""A results folder in which runs of a small benchmark are done."""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import save_file

from finegrid.records import result as module
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import PreparedModel, PreparedTask, Split, SplitName
from finegrid.records.result import RESULT_FILE, Choice, Result, Score, Trial
from finegrid.records.specification import Network, Specification, model_key
from finegrid.records.tuning import Judge, candidates, choose, trial, tuning_key
from tasks.registry import TASKS
from workflow.pipeline import Pipeline

REFERENCE = Path(module.__file__).parents[2] / "results" / "reference" / "runs"
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
    return choose(tuning_key(spec), Judge("accuracy", 1), [one])


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
        """Write the record of a run of what `prepare` writes."""
        path, spec = self.results / "runs" / run / RESULT_FILE, pipeline.jobs[run]
        read = {"model_sha256": base_sha256(spec)} if isinstance(spec.model, Network) else {}
        origin = read | changes.pop("provenance", {})
        recorded(spec, pipeline.run_digest(run), provenance=origin, **changes).write(path)
        return path

    def prepare(self, pipeline: Pipeline, sha256: str = DATA, weight: float = 0.5) -> None:
        """Write every task's manifest, and every network with all weights alike."""
        for run, spec in pipeline.jobs.items():
            task, model = Path(pipeline.run_task(run)), Path(pipeline.run_model(run))
            _manifest(spec, sha256).write(task)
            for name in SIZES:
                task.with_name(f"{name}.parquet").write_bytes(b"rows")
            write_model(spec, model, weight)
            for encoded in map(Path, pipeline.run_encodings(run)):
                encoded.parent.mkdir(parents=True, exist_ok=True)
                encoded.touch()
            for choice in map(Path, pipeline.run_choice(run)):
                choice.parent.mkdir(parents=True, exist_ok=True)
                choice.write_text("{}")

    def finish(self, pipeline: Pipeline) -> Pipeline:
        """Prepare everything, and write the record of every run and trial."""
        self.prepare(pipeline)
        for run in pipeline.jobs:
            self.record(pipeline, run)
        return pipeline


def weights(spec: Specification, weight: float = 0.5) -> dict[str, np.ndarray[Any, Any]]:
    """All weights of a network, by the names that its class gives them."""
    assert isinstance(spec.model, Network)
    *body, head = pairwise(spec.model.layers)
    layers = {f"body.{number}": sizes for number, sizes in enumerate(body)} | {"head": head}
    shapes: dict[str, tuple[int, ...]]
    shapes = {f"{name}.weight": (out, into) for name, (into, out) in layers.items()}
    shapes |= {f"{name}.bias": (out,) for name, (_, out) in layers.items()}
    return {name: np.full(shape, weight, np.float32) for name, shape in shapes.items()}


def base_sha256(spec: Specification) -> str:
    """What a run that loads these weights records of them."""
    body = {name: array for name, array in weights(spec).items() if "head" not in name}
    parts = (name.encode() + array.tobytes() for name, array in sorted(body.items()))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def write_model(spec: Specification, manifest: Path, weight: float = 0.5) -> None:
    """A prepared model; without weights where it is no network."""
    manifest.parent.mkdir(parents=True, exist_ok=True)
    files = {}
    if isinstance(spec.model, Network):
        path = manifest.with_name("model.safetensors")
        save_file(weights(spec, weight), path)
        files[path.name] = file_sha256(path)
    PreparedModel(key=model_key(spec.model), spec=spec.model, files=files).write(manifest)


def _manifest(spec: Specification, sha256: str) -> PreparedTask:
    return PreparedTask(
        key=spec.task.key,
        spec=spec.task,
        kind=TASKS.build(spec.task.task, spec.task.options).kind,
        labels=("zero", "one"),
        metrics=("accuracy",),
        splits={
            name: Split(n=n, sha256="b" * 64, file_sha256="c" * 64) for name, n in SIZES.items()
        },
        overlaps=(),
        sha256=sha256,
    )
