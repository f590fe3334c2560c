"""One run over several nodes: the process that holds its lock starts `training.member` on each.

Slurm's `srun` starts them, in the allocation that this process belongs to.
"""

import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Self

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from records.base import Record
from records.result import State
from records.specification import Positive, Training
from training.devices import NoDeviceError
from training.exits import EXIT_FAILED
from training.launch import EndedAloneError, Meeting
from training.record import Ending
from training.signals import Interruption, PreemptedError, attended

_LAUNCHER = "srun"
_ALLOCATION = "SLURM_JOB_ID"


class Report(Record):
    """What came of the run, as one node saw it: one of the three."""

    code: int | None = None
    """What its processes returned, null where the run is to start again."""
    ending: tuple[State, str | None, Positive | None, int] | None = None
    """How one of its processes ended alone."""
    preempted: str | None = None
    """The signal that all of them obeyed."""

    @classmethod
    def of(cls, work: Callable[[], int | None]) -> Self:
        """The report of what the work returns or raises."""
        try:
            return cls(code=work())
        except PreemptedError as error:
            return cls(preempted=str(error))
        except EndedAloneError as error:
            one = error.ending
            return cls(ending=(one.state, one.reason, one.step, one.exit_code))

    def resolve(self) -> int | None:
        """What was returned. Raises what was raised."""
        if self.ending:
            raise EndedAloneError(Ending(*self.ending))
        if self.preempted:
            raise PreemptedError(self.preempted)
        return self.code


def over_nodes(
    text: Callable[[Meeting], str], training: Training, interruption: Interruption
) -> int | None:
    """What the run's processes return on all nodes, each of which is told the text.

    Raises EndedAloneError and PreemptedError as `training.launch.together` does, and NoDeviceError.
    """
    if _ALLOCATION not in os.environ or shutil.which(_LAUNCHER) is None:
        raise NoDeviceError(
            f"nodes: {training.nodes}; allowed: 1 outside an allocation of Slurm with {_LAUNCHER}"
        )
    host = socket.gethostname()
    store = TCPStore(host, 0, is_master=True, wait_for_workers=False)
    meeting = Meeting(name=uuid.uuid4().hex, endpoint=f"{host}:{store.port}")
    command = _command(training.nodes)
    pipe = subprocess.PIPE
    environment = _environment()
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment) as process:  # noqa: S603
        said = attended(process, text(meeting).encode(), interruption)
    reports = [Report.model_validate_json(line) for line in said.splitlines()]
    # One that ended alone ends the others, in ways that are not the run's.
    if first := next((one for one in reports if one.ending), None):
        return first.resolve()
    if len(reports) < training.nodes:
        interruption.obey()
        reason = f"{training.nodes - len(reports)} of {training.nodes} nodes ended without a word"
        raise EndedAloneError(Ending("failed", reason, exit_code=EXIT_FAILED))
    return reports[0].resolve()


def _environment() -> dict[str, str]:
    """Of the step that this process is in, which may have fewer nodes, `srun` is told nothing."""
    kept = (_ALLOCATION, "SLURM_CONF", "SLURM_CLUSTER_NAME")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.startswith(("SLURM_", "SRUN_"))
    }


def _command(nodes: int) -> list[str]:
    """Start the members: in the step of this process, one a node, all ended where one fails."""
    counts = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    member = [sys.executable, "-m", "training.member"]
    return [_LAUNCHER, "--overlap", *counts, "--kill-on-bad-exit=1", *member]
