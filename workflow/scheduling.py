"""What the rules ask of Snakemake beyond its documented interface, in one place.

`execution_settings`, `scheduling_settings`, `is_main_process`, `register_envvars`,
`global_resources`, `local_exec`, `scheduler` and `dag_settings` of a workflow are internal to
Snakemake: a test runs it and would show a change.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

from finegrid.training.processes.client import OFF, VARIABLE, owner
from finegrid.training.processes.devices import PARTS, NoDeviceError, visible_devices

GPU, GPU_PARTS = "gpu", "gpu_parts"
ATTEMPTS = "FINEGRID_ATTEMPTS"
"""The variable that tells a job's own Snakemake, on whatever machine, how many attempts it has."""
_DEFAULT_RATE = (100, 1)
"""Jobs, and in how many seconds."""


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
    """Let every job know how many attempts it has. Call it in `onstart`."""
    os.environ[ATTEMPTS] = str(attempts(workflow))
    workflow.register_envvars(ATTEMPTS)


def offer_worker(workflow: Any) -> None:
    """Let the runs that are started on this machine be forked from a process that ends with this.

    Call it in `onstart`. The user's `FINEGRID_WORKER=off` counts.
    """
    if os.environ.get(VARIABLE) == OFF or not workflow.is_main_process:
        return
    if workflow.local_exec and sys.platform == "linux":
        os.environ[VARIABLE] = owner(os.getpid())
    else:
        os.environ.pop(VARIABLE, None)  # that of a Snakemake around this one


def look_when_jobs_end(workflow: Any) -> None:
    """Let Snakemake look for the next jobs when one ends, and not all the time.

    Its default limit of 100 jobs a second, which no benchmark comes near, makes it look again a
    second after every look; each job that ends adds one such chain. After 50 jobs that took a fifth
    of a core from the runs that are timed on it. A limit that the user asks for stays. Call it in
    `onstart`.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == _DEFAULT_RATE:
        workflow.scheduler.job_rate_limiter = None


def is_batch(workflow: Any) -> bool:
    """Whether only a part of a rule's inputs is asked for, by `--batch`."""
    return workflow.dag_settings.batch is not None


def limit_gpus(workflow: Any, most: int, nodes: int = 1, *, shared: bool = False) -> None:
    """Let no more GPUs be taken at a time than there are, where jobs run on this machine.

    `--resources gpu=N` comes first. Call it in `onstart`: the executor is not known before.
    `most` is what one job asks for. Where runs share GPUs, the parts of these are counted. Raises
    WorkflowError where one job asks for more, as Snakemake would start it with less, where one asks
    for several nodes, and where runs are to share what a scheduler gives to each alone.
    """
    if not workflow.local_exec:
        if shared:
            raise WorkflowError(
                "runs_per_device: several runs on a GPU; allowed: 1, as a scheduler gives each job "
                "GPUs of its own"
            )
        return
    if nodes > 1:
        raise WorkflowError(f"nodes: {nodes} for a run; allowed: 1 here, more on Slurm")
    if most == 0:
        return
    given = workflow.global_resources.get(GPU).value
    limit = count_gpus() if given is None else given
    if 0 < limit < most:
        raise WorkflowError(f"devices: {most} of cuda for a run; allowed: at most {limit} here")
    if given is None:
        # Where none can be counted, runs that want one take turns.
        limit = max(1, limit, most)
        _limit(workflow, GPU, limit)
    if shared:
        _limit(workflow, GPU_PARTS, limit * PARTS)
        _limit(workflow, GPU, limit * PARTS)  # which the parts suffice to limit


def _limit(workflow: Any, name: str, most: int) -> None:
    workflow.register_resource(name, most)
    # The scheduler is there already, and reckons with those resources alone that it began with.
    workflow.scheduler.global_resources[name] = most


def count_gpus() -> int:
    """The GPUs that runs started here can lease; 0 where no NVIDIA driver lists them."""
    try:
        return len(visible_devices())
    except NoDeviceError:
        return 0
