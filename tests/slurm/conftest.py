"""One Slurm for all tests of this folder, and Snakemake that submits to it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE
from finegrid.records.specification import Specification
from tests.slurm.cluster import Cluster, started, why_not

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("finegrid", "methods", "kinds", "tasks", "analysis", "workflow", "config")
BENCHMARK = Path("config") / "smoke.yaml"
SOON = (
    "--slurm-no-account",
    "--slurm-status-command=squeue",
    "--slurm-init-seconds-before-status-checks=2",
    "--latency-wait=10",
)
"""What the tests add to the profile: a cluster without accounts, and no long waits."""
INSIDE = Path(__file__).parent / "inside"


@dataclass
class Place:
    """A folder in which Snakemake is run, with a copy of the source that nobody edits."""

    folder: Path
    source: Path
    environment: dict[str, str] = field(default_factory=dict)
    snakefile: Path | None = None
    """Where it is not the source's own."""
    benchmark: Path | None = None
    """Where it is not the smoke benchmark."""
    heads: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, profile: str = "slurm") -> subprocess.Popen[str]:
        """Snakemake with a shipped profile, in a process of its own."""
        snakefile = self.snakefile or self.source / "Snakefile"
        benchmark = self.benchmark or self.source / BENCHMARK
        options = ["--snakefile", str(snakefile), "--configfile", str(benchmark)]
        profiles = self.source / "workflow" / "profiles"
        options += ["--profile", str(profiles / profile), "--directory", str(self.folder)]
        options += SOON if profile == "slurm" else ("--cores", "2")
        head = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments, *options],
            cwd=self.folder,
            env=os.environ | self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.heads.append(head)
        return head

    def _environment(self) -> dict[str, str]:
        """For the test's hooks in every process, and without a mirror where none is asked for."""
        return {
            "PYTHONPATH": f"{self.source}{os.pathsep}{INSIDE}",
            "FINEGRID_TEST_FOLDER": str(self.folder),
            "WANDB_MODE": "disabled",
        } | self.environment

    def end(self) -> None:
        """End what a test that failed has left, and the jobs that it waits for."""
        for head in self.heads:
            if head.poll() is None:
                head.send_signal(signal.SIGINT)
                try:
                    head.communicate(timeout=30)
                except subprocess.TimeoutExpired:
                    head.kill()
                    head.communicate()

    def run(self, *arguments: str, profile: str = "slurm") -> str:
        """The same, to its end; it has to end well. Returns what it printed."""
        return self.finish(self.start(*arguments, profile=profile))

    def finish(self, head: subprocess.Popen[str]) -> str:
        """Wait for Snakemake, which has to end well. Returns what it printed."""
        output, _ = head.communicate()
        assert head.returncode == 0, output + self.logs()
        return output

    def target(self, spec: Specification) -> str:
        """How the run's record is asked for."""
        return str(self.result(spec.run).relative_to(self.folder))

    def result(self, run: str) -> Path:
        """Where the run's record is written."""
        return self.results / "runs" / run / RESULT_FILE

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def logs(self) -> str:
        """What the jobs wrote."""
        found = sorted(self.results.glob("logs/*.log"))
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in found)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Slurm of two nodes with two pretended GPUs each."""
    if reason := why_not():
        pytest.skip(reason)
    # Whoever asks the tests to end gets the daemons ended too, as by Ctrl-C.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with started() as running:
            yield running
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def _no_job_is_left(cluster: Cluster) -> Iterator[None]:
    yield
    cluster.end_jobs()


@pytest.fixture(scope="session")
def plan() -> Plan:
    return make_plan(parse_benchmark(yaml.safe_load((REPOSITORY / BENCHMARK).read_text())))


@pytest.fixture(scope="session")
def runs(plan: Plan) -> dict[str, Specification]:
    """The runs on texts by variant and seed, as `full-s0`."""
    texts = [spec for spec in plan.runs.values() if spec.model.kind != "network"]
    return {f"{spec.variant.name}-s{spec.seed}": spec for spec in texts}


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for room in ROOMS:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / room, folder / room, ignore=ignore)
    for file in ("Snakefile", "environment.yml"):
        shutil.copy(REPOSITORY / file, folder)
    return folder


@pytest.fixture(scope="session")
def local(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, source: Path, plan: Plan
) -> Iterator[Place]:
    """The benchmark on this machine, without Slurm: what every other run has to equal."""
    place = Place(tmp_path_factory.mktemp("local"), source)
    try:
        place.run(*map(place.target, plan.runs.values()), profile="local")
        yield place
    finally:
        place.end()


@pytest.fixture
def empty(tmp_path: Path, source: Path) -> Iterator[Place]:
    """A folder where nothing is."""
    place = Place(tmp_path, source)
    yield place
    place.end()


@pytest.fixture
def place(empty: Place, local: Place) -> Place:
    """A folder where tasks and models are prepared, and nothing is trained."""
    shutil.copytree(local.results / "prepared", empty.results / "prepared")
    return empty


@pytest.fixture
def tuned(empty: Place, local: Place) -> Place:
    """A folder where all is done but the runs: every one of them can start at once."""
    copy_all_but_runs(local, empty)
    return empty


def copy_all_but_runs(local: Place, place: Place) -> None:
    """What the runs need, as it came out without Slurm: tasks, models, trials and choices."""
    for part in ("prepared", "tuning"):
        shutil.copytree(local.results / part, place.results / part)
    for folder in local.results.glob("runs/*-s100-*"):
        shutil.copytree(folder, place.results / "runs" / folder.name)
