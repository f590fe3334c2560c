"""One run over several nodes: the process that holds its lock starts an agent on each.

Slurm's `srun` starts them, in the allocation that this process belongs to.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Self

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from finegrid.records.base import Positive, Record
from finegrid.records.result import State
from finegrid.records.training import Training
from finegrid.training.processes.devices import NoDeviceError
from finegrid.training.processes.exits import EXIT_FAILED
from finegrid.training.processes.launch import EndedAloneError, Rendezvous
from finegrid.training.processes.signals import Interruption, PreemptedError, attended
from finegrid.training.record import Ending

_LAUNCHER = "srun"
_ALLOCATION = "SLURM_JOB_ID"
_REQUEST = signal.SIGUSR1
"""Passed on to the agents. For SIGTERM and SIGHUP `srun` kills them, for SIGINT it asks back."""


class Report(Record):
    """What came of the run, as one node saw it: one of the four."""

    code: int | None = None
    """What its workers returned, null where the run is to start again."""
    ending: tuple[State, str | None, Positive | None, int] | None = None
    """How one of its workers ended alone."""
    preempted: str | None = None
    """The signal that all of them obeyed."""
    lacking: str | None = None
    """Why they were not started: which devices there are."""

    @classmethod
    def of(cls, work: Callable[[], int | None]) -> Self:
        """The report of what the work returns or raises."""
        try:
            return cls(code=work())
        except PreemptedError as error:
            return cls(preempted=str(error))
        except NoDeviceError as error:
            return cls(lacking=f"{socket.gethostname()}: {error}")
        except EndedAloneError as error:
            one = error.ending
            return cls(ending=(one.state, one.reason, one.step, one.exit_code))

    @property
    def is_first_cause(self) -> bool:
        """Whether it makes the other nodes end, in ways that are not the run's."""
        return self.ending is not None or self.lacking is not None

    def resolve(self) -> int | None:
        """What was returned. Raises what was raised."""
        if self.ending:
            raise EndedAloneError(Ending(*self.ending))
        if self.lacking:
            raise NoDeviceError(self.lacking)
        if self.preempted:
            raise PreemptedError(self.preempted)
        return self.code


def run_on_nodes(
    assignment: Callable[[Rendezvous], str],
    training: Training,
    threads: int,
    interruption: Interruption,
) -> int | None:
    """What the run's workers return on all nodes, each of which is told the assignment.

    `threads` are those of each worker. Raises EndedAloneError and PreemptedError as
    `finegrid.training.processes.launch.run_workers` does, and NoDeviceError.
    """
    if _ALLOCATION not in os.environ or shutil.which(_LAUNCHER) is None:
        raise NoDeviceError(
            f"nodes: {training.nodes}; allowed: 1 outside an allocation of Slurm with {_LAUNCHER}"
        )
    host = socket.gethostname()
    store = TCPStore(host, 0, is_master=True, wait_for_workers=False)
    rendezvous = Rendezvous(name=uuid.uuid4().hex, endpoint=f"{host}:{store.port}")
    command, environment, pipe = _command(training, threads), _environment(), subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment) as process:  # noqa: S603
        said = attended(process, assignment(rendezvous).encode(), interruption, _REQUEST)
    reports = [Report.model_validate_json(line) for line in said.splitlines()]
    return _outcome(reports, training.nodes, process.returncode, interruption)


def _outcome(
    reports: list[Report], nodes: int, exit_code: int, interruption: Interruption
) -> int | None:
    if cause := next((one for one in reports if one.is_first_cause), None):
        return cause.resolve()
    if len(reports) < nodes:
        silent = f"{nodes - len(reports)} of {nodes} nodes ended without a word"
        reason = f"{silent}; exit code of {_LAUNCHER}: {exit_code}"
        raise EndedAloneError(Ending("failed", reason, exit_code=EXIT_FAILED))
    if any(one.preempted for one in reports):
        interruption.obey()  # by the name of the signal that was received here
    return reports[0].resolve()


def _environment() -> dict[str, str]:
    """Of the step that this process is in, which may have fewer nodes, `srun` is told nothing."""
    kept = (_ALLOCATION, "SLURM_CONF", "SLURM_CLUSTER_NAME")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.startswith(("SLURM_", "SRUN_"))
    }


def _command(training: Training, threads: int) -> list[str]:
    """Start the agents: in the step of this process, one a node, all ended where one fails."""
    per_node = training.devices_per_node
    options = [
        "--overlap",
        f"--nodes={training.nodes}",
        f"--ntasks={training.nodes}",
        "--ntasks-per-node=1",
        # Neither comes from the allocation by itself: a step has one processor, and maybe one GPU.
        f"--cpus-per-task={threads * per_node}",
        *([f"--gpus-per-node={per_node}"] if training.device == "cuda" else []),
        "--kill-on-bad-exit=1",
    ]
    return [_LAUNCHER, *options, sys.executable, "-m", "finegrid.training.processes.agent"]
