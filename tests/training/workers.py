"""A worker for tests, and runs that are made through it as Snakemake's jobs make them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from finegrid.records.specification import Specification
from finegrid.training.processes.client import OFF, VARIABLE, WORKER, owner
from tests.training.assets import Assets

CLIENT = (sys.executable, "-m", "finegrid.training.processes.client")
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Served:
    """Clients whose workers end with a process that stands for Snakemake."""

    assets: Assets
    snakemake: "subprocess.Popen[bytes]"
    environment: dict[str, str]
    """The same for all, as of one Snakemake: another one has another worker."""

    def arguments(self, results: Path, **extra: Any) -> list[str]:
        options = {"spec": "-", "results": results, "prepared": self.assets.prepared} | extra
        pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items()]
        return [part for pair in pairs for part in pair]

    def run(
        self,
        spec: Specification | str,
        results: Path,
        *further: str,
        environment: dict[str, str] | None = None,
        **extra: Any,
    ) -> Done:
        """A client, until it ends."""
        text = spec if isinstance(spec, str) else spec.model_dump_json()
        return subprocess.run(
            [*CLIENT, *self.arguments(results, **extra), *further],
            input=text,
            env=self.environment | (environment or {}),
            capture_output=True,
            text=True,
            check=False,
        )

    def plain(self, spec: Specification | str, results: Path, *further: str, **extra: Any) -> Done:
        """The same without a worker."""
        return self.run(spec, results, *further, environment={VARIABLE: OFF}, **extra)

    def start(self, spec: Specification, results: Path, **extra: Any) -> "subprocess.Popen[str]":
        """A client that is on its way, its errors in a file of the results."""
        results.mkdir(parents=True, exist_ok=True)
        with (results / "errors").open("w") as errors:
            process = subprocess.Popen(
                [*CLIENT, *self.arguments(results, **extra)],
                stdin=subprocess.PIPE,
                stderr=errors,
                env=self.environment,
                text=True,
            )
        assert process.stdin is not None
        with process.stdin:
            process.stdin.write(spec.model_dump_json())
        return process

    def workers(self) -> list[psutil.Process]:
        """The workers of this Snakemake, without their children."""
        found = [one for one in psutil.process_iter(["cmdline", "environ"]) if self._is_own(one)]
        return [one for one in found if one.ppid() not in {other.pid for other in found}]

    def _is_own(self, process: psutil.Process) -> bool:
        line, environment = process.info["cmdline"] or [], process.info["environ"] or {}
        return WORKER in line and environment.get(VARIABLE) == self.environment[VARIABLE]


@contextmanager
def served(assets: Assets) -> Iterator[Served]:
    """Clients with a Snakemake of their own, which is killed at the end."""
    with subprocess.Popen(["sleep", "infinity"]) as snakemake:
        try:
            named = {VARIABLE: owner(snakemake.pid), "WANDB_MODE": "disabled"}
            yield Served(assets, snakemake, os.environ | named)
        finally:
            snakemake.kill()
