"""What the rules ask of Snakemake beyond its documented interface, in one place.

`execution_settings`, `is_main_process`, `register_envvars`, `global_resources`, `local_exec`,
`scheduler` and `dag_settings` of a workflow are internal to Snakemake: a test runs it and would
show a change.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

GPU = "gpu"
ATTEMPTS = "FINEGRID_ATTEMPTS"
"""The variable that tells a job's own Snakemake, on whatever machine, how many attempts it has."""


def attempts(workflow: Any) -> int:
    """How often a job is tried before it counts as failed.

    The Snakemake that schedules knows it; one that it starts for a job retries nothing itself, and
    is told. Raises LookupError where it was not.
    """
    if workflow.is_main_process:
        return 1 + int(workflow.execution_settings.retries)
    if ATTEMPTS not in os.environ:
        raise LookupError(f"{ATTEMPTS} is not set; Snakemake's hooks set it: leave out --no-hooks")
    return int(os.environ[ATTEMPTS])


def tell_attempts(workflow: Any) -> None:
    """Let every job know how many attempts it has. Belongs into `onstart`."""
    os.environ[ATTEMPTS] = str(attempts(workflow))
    workflow.register_envvars(ATTEMPTS)


def is_batch(workflow: Any) -> bool:
    """Whether only a part of a rule's inputs is asked for, by `--batch`."""
    return workflow.dag_settings.batch is not None


def limit_gpus(workflow: Any, most: int, nodes: int = 1) -> None:
    """Let no more GPUs be taken at a time than there are, where jobs run on this machine.

    `--resources gpu=N` comes first. Belongs into `onstart`: the executor is not known before.
    Raises WorkflowError where one job asks for more, `most`, as Snakemake would start it with less,
    and where one asks for several nodes.
    """
    if not workflow.local_exec:
        return
    if nodes > 1:
        raise WorkflowError(f"nodes: {nodes} for a run; allowed: 1 here, more on Slurm")
    given = workflow.global_resources.get(GPU).value
    limit = count_gpus() if given is None else given
    if 0 < limit < most:
        raise WorkflowError(f"devices: {most} of cuda for a run; allowed: at most {limit} here")
    if given is not None:
        return
    # Where none can be counted, runs that want one take turns.
    limit = max(1, limit, most)
    workflow.register_resource(GPU, limit)
    # The scheduler is there already, and reckons with those resources alone that it began with.
    workflow.scheduler.global_resources[GPU] = limit


def count_gpus() -> int:
    """The GPUs that a process started here would see; 0 where no NVIDIA driver is found."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # As the driver reads it: the first device that does not exist ends the list.
        devices = [one.strip() for one in visible.split(",")]
        return next((n for n, one in enumerate(devices) if one in ("", "-1")), len(devices))
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    done = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)  # noqa: S603
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())
