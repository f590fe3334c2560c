"""`python -m finegrid.training.processes.client`: a run, forked from a worker where there is one.

Its specification is read on stdin. Arguments, streams, signals and exit codes are those of
`python -m finegrid.training.run --spec -`, which this process becomes where no worker can serve the
run. It loads next to nothing itself: what a run imports takes longer than a small run trains.
"""

import hashlib
import json
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from finegrid.training.processes.signals import SIGNALS

VARIABLE = "FINEGRID_WORKER"
"""Names the process with which workers end, as `owner` does; where it is `off` there are none."""
OFF = "off"
RUN = "finegrid.training.run"
WORKER = "finegrid.training.processes.worker"
STREAMS = (0, 1, 2)
_SOURCE = ("finegrid", "kinds", "methods", "tasks")
"""What a worker has imported of ours, or its children will."""
_ROOT = Path(__file__).parents[3]
_TRIES, _PAUSE_SECONDS = 100, 0.01
"""How often a worker is asked for whose socket another client is about to open."""


def main() -> NoReturn:
    """Have the worker make the run and end as it does, or make it here."""
    arguments = sys.argv[1:]
    if sys.platform == "linux" and os.environ.get(VARIABLE, "") not in ("", OFF):
        if may_be_forked(_kept_stdin()) and (code := _served(arguments)) is not None:
            _end(code)
        os.lseek(0, 0, os.SEEK_SET)
    os.execv(sys.executable, [sys.executable, "-m", RUN, *arguments])  # noqa: S606


def owner(pid: int) -> str:
    """A running process, by a name that no later one has: its number and when it began.

    Raises OSError where there is none.
    """
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return f"{pid}-{fields[19]}"


def may_be_forked(specification: bytes) -> bool:
    """Whether a fork gives the bits of a fresh process: on the CPU, on one thread of one process.

    Libraries start threads when they are loaded, and a child has none of its parent's.
    """
    try:
        training = json.loads(specification)["training"]
        devices = training.get("devices", 1)  # it is left out where it is 1
        return (training["device"], training["threads"], devices) == ("cpu", 1, 1)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False  # the run itself says what is wrong


def address(root: Path = _ROOT) -> str:
    """The name of the worker's socket, in Linux's namespace of names that leave no file.

    It is the hash of all that a child has of its parent where a process of its own has it of the
    one that calls it, and of the packages and of the source, below `root`, that a worker loads.
    """
    mask = os.umask(0)
    os.umask(mask)
    limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    inherited = (
        sys.executable,
        os.getuid(),
        str(Path.cwd()),
        sorted(os.environ.items()),
        mask,
        [resource.getrlimit(getattr(resource, name)) for name in limits],
        sorted(os.sched_getaffinity(0)),
        os.getpriority(os.PRIO_PROCESS, 0),
    )
    packages = [path for path in map(Path, sys.path) if path.name.endswith("-packages")]
    source = (path for room in _SOURCE for path in sorted((root / room).rglob("*.py")))
    loaded = [_state(path) for path in (*packages, *source) if path.exists()]
    return "\0finegrid-" + hashlib.sha256(repr((inherited, loaded)).encode()).hexdigest()


def _state(path: Path) -> tuple[str, int, int]:
    """What changes when a module is written, or a package installed in the folder."""
    found = path.stat()
    return str(path), found.st_size, found.st_mtime_ns


def _kept_stdin() -> bytes:
    """What stands on stdin, which is a file from here on: another process can read it again."""
    text = sys.stdin.buffer.read()
    number = os.memfd_create("specification")
    with os.fdopen(number, "wb", closefd=False) as stream:
        stream.write(text)
    os.lseek(number, 0, os.SEEK_SET)
    os.dup2(number, 0)
    os.close(number)
    return text


def _served(arguments: list[str]) -> int | None:
    """The run's exit code, or minus the signal that ended it; None where no worker made it."""
    connection = _connected(address())
    if connection is None:
        return None
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        with suppress(OSError):  # where the worker is gone, that shows below
            connection.send(bytes([number]))

    heard = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
    for one in heard:
        signal.signal(one, pass_on)
    ignored = [int(one) for one in SIGNALS if one not in heard]
    request = json.dumps({"arguments": arguments, "ignored": ignored})
    try:
        socket.send_fds(connection, [request.encode()], list(STREAMS))
        answer = connection.recv(16)
    except OSError:
        answer = b""
    if answer:
        return int(answer)
    for one in heard:
        signal.signal(one, signal.SIG_DFL)
    print("the worker of the runs is gone: this one goes on by itself", file=sys.stderr)  # noqa: T201
    return -asked[-1] if asked else None


def _connected(name: str) -> socket.socket | None:
    """A connection to the worker of that name, which is started if there is none."""
    for _ in range(_TRIES):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(name)
        except OSError:
            connection.close()
            if not _started(name):
                time.sleep(_PAUSE_SECONDS)
            continue
        return connection if is_own(connection) else None
    return None


def is_own(connection: socket.socket) -> bool:
    """Whether a process of the same user is at its other end: anybody may know its name."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], sys.byteorder) == os.getuid()


def _started(name: str) -> bool:
    """Whether a worker was started here; of several clients, the one that gets the name does it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        try:
            listener.bind(name)
        except OSError:
            return False
        listener.listen(socket.SOMAXCONN)
        listener.set_inheritable(True)
        # Its streams are nobody's: whoever waits for the end of ours would wait for it.
        nowhere = [(os.POSIX_SPAWN_OPEN, one, os.devnull, os.O_RDWR, 0) for one in STREAMS]
        line = [sys.executable, "-m", WORKER, str(listener.fileno())]
        # A session of its own: what a terminal sends is for the clients to pass on.
        os.posix_spawn(sys.executable, line, os.environ, file_actions=nowhere, setsid=True)
    return True


def _end(code: int) -> NoReturn:
    """End as the run has ended."""
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
