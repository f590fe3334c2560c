"""Where, with what and from which source a run was made."""

import os
import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from finegrid.metrics.registry import METRICS, modules
from finegrid.models.family import family_module
from finegrid.models.seeds import STREAMS, derive
from finegrid.records.result import Machine, Provenance
from finegrid.records.source import run_digest
from finegrid.records.specification import Specification
from finegrid.records.training import is_quantised
from kinds import registry as kinds
from methods.registry import METHODS
from tasks.contract import Task
from tasks.registry import TASKS

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "evaluate",
    "numpy",
    "scikit-learn",
    "safetensors",
    "wandb",
    "pydantic",
    "snakemake",
)
"""Those that every run uses."""


def provenance(spec: Specification, *, threads: int, deterministic: bool) -> Provenance:
    """Everything but the hashes of data and model, which the run fills in when it has them."""
    commit, dirty = _git_state()
    return Provenance(
        git_commit=commit,
        git_dirty=dirty,
        source_digest=spec_digest(spec),
        packages=_versions([*PACKAGES, *_brought(spec)]),
        python=platform.python_version(),
        machine=_machine(spec.training.device),
        device=spec.training.device,
        threads=threads,
        dtype=spec.training.dtype,
        deterministic=deterministic,
        seeds={stream: derive(spec.seed, stream) for stream in STREAMS},
        data_sha256=None,
        model_sha256=None,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def spec_digest(spec: Specification) -> str:
    """The digest of the source that decides the numbers of that run."""
    method, task = METHODS.get(spec.variant.method), TASKS.get(spec.task.task)
    family = family_module(spec.model.configuration)
    own = (method.__module__, family, task.__module__, *kinds.modules(_task(spec).kind))
    return run_digest(*own, *modules(_task(spec).metrics))


def _brought(spec: Specification) -> list[str]:
    """The distributions that the run's method, its task, the kind and its metrics come from.

    Beside them stands what quantises its base.
    """
    return [
        *(["bitsandbytes"] if is_quantised(spec.training.weights) else []),
        *METHODS.distributions(spec.variant.method),
        *TASKS.distributions(spec.task.task),
        *kinds.KINDS.distributions(_task(spec).kind),
        *(one for name in _task(spec).metrics for one in METRICS.distributions(name)),
    ]


def _task(spec: Specification) -> Task:
    return TASKS.build(spec.task.task, spec.task.options)


def _versions(packages: list[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _git_state() -> tuple[str | None, bool | None]:
    root = Path(__file__).parent
    commit = _git(root, "rev-parse", "HEAD")
    status = _git(root, "status", "--porcelain", "--untracked-files=no")
    return commit, None if status is None else bool(status)


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _machine(device: str) -> Machine:
    return Machine(
        hostname=platform.node(),
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=os.cpu_count() or 0,
        memory_bytes=_memory_bytes(),
        accelerator=torch.cuda.get_device_name() if device == "cuda" else None,
    )


def _processor() -> str:
    """Model name and the widest instruction set that torch uses: both decide bits and speed."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        name = next(names, name)
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
