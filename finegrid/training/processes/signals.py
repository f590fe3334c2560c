"""Requests to end: a signal raises a flag, and a run looks at it where it can stop without loss."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
"""What schedulers send at a time limit or a preemption, and what a terminal sends, closed too."""

_POLL_SECONDS = 0.5
_SET_PARENT_DEATH_SIGNAL = 1
"""Linux's PR_SET_PDEATHSIG."""


class PreemptedError(Exception):
    """The process was asked to end before its run had ended."""


@dataclass
class Interruption:
    """Whether the process was asked to end. Asking twice is asking once."""

    name: str | None = None
    """The signal, once there was one."""

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The handler: it raises the flag and touches nothing else."""
        self.name = signal.Signals(number).name

    def obey(self) -> None:
        """Raise PreemptedError where the process was asked to end."""
        if self.name is not None:
            raise PreemptedError(self.name)


@contextmanager
def interruptible(*, is_last: bool = False) -> Iterator[Interruption]:
    """Turn the signals into requests for as long as the block lasts.

    One that the process was started to ignore stays ignored. Where the block is the last thing that
    the process does, all are ignored after it: a request that comes then must not end it otherwise.
    """
    interruption = Interruption()
    heard = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, interruption.receive) for one in heard}
    try:
        yield interruption
    finally:
        for one, handler in before.items():
            signal.signal(one, signal.SIG_IGN if is_last else handler)


def attended(
    process: subprocess.Popen[bytes],
    text: bytes,
    interruption: Interruption,
    request: signal.Signals | None = None,
) -> bytes:
    """What a process says that is given a text; it is told when this one is asked to end.

    By the same signal, where no other `request` is named.
    """
    left: bytes | None = text
    while True:
        try:
            said, _ = process.communicate(left, timeout=_POLL_SECONDS)
            return said or b""
        except subprocess.TimeoutExpired:
            left = None
        if interruption.name is not None:
            process.send_signal(request or signal.Signals[interruption.name])


def die_with_parent() -> None:
    """Have this process killed when its parent dies, where that can be had."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
