"""`finegrid drift`: a few cells of a results folder made again, and what moved."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from analysis.drift.anchors import RULE, Anchor, choose, named, read_anchors
from analysis.drift.findings import Drift, Margins, Pair, find_drift
from analysis.errors import AnalysisError
from analysis.reading import read_record
from finegrid.metrics.registry import METRICS, modules
from finegrid.models.family import FAMILIES
from finegrid.records.encoded import ENCODED_FOLDER
from finegrid.records.identity import canonical_json, short_hash
from finegrid.records.place import record_file
from finegrid.records.prepared import MANIFEST_FILE
from finegrid.records.result import FAILURE_FILE, RESULT_FILE, Result
from finegrid.records.source import run_digest, source_digest
from finegrid.records.specification import Specification, Task, model_key
from finegrid.records.tuning import effective
from kinds.registry import KINDS
from methods.registry import METHODS
from tasks.registry import TASKS
from workflow.digests import ENCODE, PREPARE_MODEL, PREPARE_TASK
from workflow.encodings import Encodings, Job

DRIFT_FILE = "drift.json"
_QUIET = {"WANDB_MODE": "disabled"}
"""A run that was not tuned keeps its name, so that its mirror would replace that of then."""


@dataclass(frozen=True)
class Request:
    """What to make again, and where."""

    results: Path
    output: Path
    benchmark: str | None = None
    count: int = 3
    cells: tuple[str, ...] = ()
    """The cells to take; chosen by the rule if there are none."""
    prepared: Path | None = None
    """Prepared tasks and models; made afresh below `output` if None."""
    cores: int = 1
    margins: Margins = Margins()  # noqa: RUF009  # a record does not change


@dataclass(frozen=True)
class Workplace:
    """Where runs are made under the conditions of today, and why something could not be made."""

    folder: Path
    prepared: Path
    downloads: Path
    problems: dict[Path, str] = field(default_factory=dict)
    """Manifest that could not be made -> why."""

    def manifests(self, spec: Specification) -> list[Path]:
        """What a run needs: the manifests of its task, its model and its encoding."""
        folders = self.tasks / spec.task.key, self.prepared / "models" / model_key(spec.model)
        encoded = map(Path, Encodings(str(self.prepared), [], []).of(spec))
        return [*(folder / MANIFEST_FILE for folder in folders), *encoded]

    @property
    def tasks(self) -> Path:
        """The folder of prepared tasks."""
        return self.prepared / "tasks"

    def python(
        self, log: str, module: str, record: BaseModel, **options: Path | int | str
    ) -> str | None:
        """Run one of our modules on a record. Returns None, or why it failed."""
        path = self.folder / "logs" / f"{log}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", module, "--spec", "-"]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        with path.open("wb") as stream:
            done = subprocess.run(  # noqa: S603  # our own interpreter, arguments without a shell
                command,
                input=canonical_json(record).encode(),
                stderr=stream,
                env=os.environ | _QUIET,
                check=False,
            )
        return None if done.returncode == 0 else f"exit {done.returncode}: {_last_line(path)}"


def find_anchors(request: Request) -> list[Anchor]:
    """The anchor cells. Raises AnalysisError for bad input, and OSError."""
    if request.output.resolve() == request.results.resolve():
        raise AnalysisError(f"--output {request.output}: it holds the results of then")
    anchors = read_anchors(request.results, request.benchmark)
    return named(anchors, request.cells) if request.cells else choose(anchors, request.count)


def drift(request: Request, anchors: Sequence[Anchor], console: Console) -> Drift:
    """Make the runs of the anchors again, hold them against those of then, and write the report.

    What was made before under the same conditions is not made again. A run that cannot be made is
    part of the report. Raises AnalysisError for an invalid record, RegistrationError, and OSError.
    """
    place = workplace(request)
    runs = [one for anchor in anchors for one in anchor.runs]
    console.print(
        f"{len(runs)} runs of {len(anchors)} cells ({selection(request)}), made again in "
        f"{place.folder}",
        highlight=False,
        soft_wrap=True,
    )
    _prepare([effective(one) for one in runs], place, console)
    outcomes = _make(runs, place, request.cores, console)
    found = find_drift(
        {
            anchor.name: [replace(outcomes[effective(one).run], then=one) for one in anchor.runs]
            for anchor in anchors
        },
        results=str(request.results),
        remade=str(place.folder),
        selection=selection(request),
        margins=request.margins,
    )
    found.write(request.output / DRIFT_FILE)
    return found


def selection(request: Request) -> str:
    """How the anchors were chosen, in words."""
    return "named on the command line" if request.cells else f"at most {request.count}: {RULE}"


def workplace(request: Request) -> Workplace:
    """The folder of today's conditions: what was made under others is never taken for today's."""
    shared = request.prepared
    folder = request.output / short_hash(_conditions(shared))
    downloads = (shared or request.output) / "downloads"
    return Workplace(folder, shared or folder / "prepared", downloads)


def _conditions(prepared: Path | None) -> dict[str, Any]:
    """What may change a number, as far as it is known without a run."""
    registered = [METHODS.get(name).__module__ for name in METHODS]
    registered += [TASKS.get(name).__module__ for name in TASKS]
    registered += [KINDS.get(name).__module__ for name in KINDS]
    registered += [FAMILIES.get(name).__module__ for name in FAMILIES]
    return {
        "run": run_digest(*registered, *modules(METRICS)),
        "prepare": source_digest([PREPARE_TASK, PREPARE_MODEL, ENCODE]),
        "packages": sorted({f"{one.name} {one.version}" for one in distributions()}),
        "python": platform.python_version(),
        "machine": [platform.node(), platform.platform(), os.cpu_count()],
        "prepared": None if prepared is None else str(prepared.resolve()),
    }


def _prepare(specs: Sequence[Specification], place: Workplace, console: Console) -> None:
    """Make the manifests that are absent: tasks, models and encodings.

    A model may need an encoding that no model has a say in, and the others need a model.
    """
    models = {model_key(spec.model): spec.model for spec in specs}
    tasks = {task.key: task for spec in specs for task in _tasks(spec)}
    for key, task in tasks.items():
        cache = {"output": place.tasks / key, "cache": place.downloads}
        _prepare_one(PREPARE_TASK, task, place, console, **cache)
    encodings = Encodings(str(place.prepared), specs, models.values()).jobs.values()
    _encode([one for one in encodings if one.model is None], place, console)
    for key, model in models.items():
        cache = {"output": place.prepared / "models" / key, "cache": place.downloads}
        _prepare_one(PREPARE_MODEL, model, place, console, **cache, tasks=place.tasks)
    _encode([one for one in encodings if one.model is not None], place, console)


def _encode(jobs: Sequence[Job], place: Workplace, console: Console) -> None:
    for job in jobs:
        output = place.prepared / ENCODED_FOLDER / job.encoding.key
        how = {"prepared": place.prepared} | _processor(job, place)
        _prepare_one(ENCODE, job.encoding, place, console, output=output, **how)


def _processor(job: Job, place: Workplace) -> dict[str, Path]:
    """The option with the file that names the model which encodes, if one does."""
    if job.model is None:
        return {}
    file = place.prepared / "processors" / f"{job.encoding.processor_key}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(job.model, encoding="utf-8")
    return {"processor": file}


def _tasks(spec: Specification) -> Iterator[Task]:
    """The run's task, and the one that its model was pretrained on."""
    yield spec.task
    if spec.model.pretraining:
        yield spec.model.pretraining.task


def _prepare_one(
    module: str,
    record: BaseModel,
    place: Workplace,
    console: Console,
    *,
    output: Path,
    **how: Path | str,
) -> None:
    manifest = output / MANIFEST_FILE
    if manifest.exists():
        return
    log = f"{module.rpartition('.')[2].replace('_', '-')}-{output.name}"
    problem = place.python(log, module, record, output=output, **how)
    if problem:
        place.problems[manifest] = f"{output.name} could not be prepared: {problem}"
    console.print(f"  {output.name}  [dim]{'failed' if problem else 'prepared'}[/dim]")


def _make(
    runs: Sequence[Result], place: Workplace, cores: int, console: Console
) -> Mapping[str, Pair]:
    """Every run with its record of today, by the name of today."""
    # two benchmarks may have come to the same run
    different = {effective(one).run: one for one in runs}
    outcomes: dict[str, Pair] = {}
    with ThreadPoolExecutor(_workers(runs, cores)) as pool:
        futures = {pool.submit(_made, one, place): run for run, one in different.items()}
        try:
            for future in as_completed(futures):
                pair = outcomes[futures[future]] = future.result()
                done = f"{len(outcomes)} of {len(different)}"
                line = f"  {escape(f'{pair.then.run}  {_outcome(pair)} ({done})')}"
                console.print(line, highlight=False, soft_wrap=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return outcomes


def _workers(runs: Sequence[Result], cores: int) -> int:
    """How many runs fit the cores at a time; on an accelerator one, for they share its memory."""
    if any(effective(one).training.device != "cpu" for one in runs):
        return 1
    return max(1, cores // max(map(_threads, runs)))


def _threads(result: Result) -> int:
    """Of all processes of the run on a node."""
    return result.provenance.threads * effective(result).training.devices_per_node


def _made(then: Result, place: Workplace) -> Pair:
    """The run of then with its record of now, which is made unless it is there."""
    spec, threads, runs = effective(then), _threads(then), place.folder / "runs"
    known = _read(runs, spec.run)
    if known and known.state == "ok" and _threads(known) == threads:
        return Pair(then, known)
    for manifest in place.manifests(spec):
        if manifest in place.problems:
            return Pair(then, None, place.problems[manifest])
    for name in (RESULT_FILE, FAILURE_FILE):
        (runs / spec.run / name).unlink(missing_ok=True)
    where = {"results": place.folder, "prepared": place.prepared}
    problem = place.python(
        f"run-{spec.run}", "finegrid.training.run", spec, **where, threads=threads
    )
    return Pair(then, _read(runs, spec.run), problem)


def _read(runs: Path, run: str) -> Result | None:
    path = record_file(runs, run)
    return read_record(Result, path) if path else None


def _outcome(pair: Pair) -> str:
    if pair.now is None or pair.now.metrics is None or pair.now.state != "ok":
        reason = pair.now.reason if pair.now else pair.reason
        return f"{pair.state}: {reason}"
    name = pair.now.metrics.primary
    return f"test {name} {pair.now.metrics.test[name].value:.3f}"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in reversed(lines) if line.strip()), "it left no word")
