"""`python -m finegrid.training.processes.worker`: a process that has loaded what runs load.

Its clients connect to a socket that it was started with. For each it forks a child that makes one
run, tells it of the signals that the client receives, and returns its exit code. It ends with the
process that `FINEGRID_WORKER` names, once its last child has ended.
"""

import atexit
import gc
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from finegrid.metrics.registry import METRICS
from finegrid.models.family import FAMILIES
from finegrid.records.source import run_digest
from finegrid.training.libraries import load_libraries
from finegrid.training.processes.client import STREAMS, VARIABLE, is_own, owner
from finegrid.training.processes.exits import EXIT_FAILED, end_at_once
from finegrid.training.processes.signals import SIGNALS, die_with_parent
from finegrid.training.run import main as make_run
from finegrid.training.run import prepare_environment
from kinds.registry import KINDS
from methods.registry import METHODS
from tasks.registry import TASKS

_LONGEST_REQUEST = 2**16


class Worker:
    """The events that a worker waits for, and what it does then."""

    def __init__(self, listener: socket.socket, owned_by: int) -> None:
        """Serve the listener's clients as long as the process of that file descriptor lives."""
        # One that leaves nothing in the kernel: children close their copies of what it watches.
        self._watched = selectors.PollSelector()
        self._listener = listener
        self._watch(listener, self._accept)
        self._watch(owned_by, partial(self._retire, owned_by))

    def serve(self) -> None:
        """Return when the owner and the last child have ended."""
        while self._watched.get_map():
            # One at a time: it may make the others void.
            self._watched.select()[0][0].data()

    def _watch(self, one: socket.socket | int, action: Callable[[], None]) -> None:
        self._watched.register(one, selectors.EVENT_READ, action)

    def _drop(self, one: socket.socket | int) -> None:
        self._watched.unregister(one)
        os.close(one) if isinstance(one, int) else one.close()

    def _retire(self, owned_by: int) -> None:
        """Serve no new clients: those that wait see the connection end."""
        self._drop(owned_by)
        self._drop(self._listener)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        if is_own(connection):
            self._watch(connection, partial(self._begin, connection))
        else:
            connection.close()

    def _begin(self, connection: socket.socket) -> None:
        """Fork a child for the client."""
        said, streams = _received(connection)
        if said and len(streams) == len(STREAMS):
            child = os.fork()
            if child == 0:
                self._leave()
                _perform(json.loads(said), streams)
            ended = os.pidfd_open(child)
            self._watch(ended, partial(self._report, child, ended, connection))
            action = partial(self._hear, connection, ended)
            self._watched.modify(connection, selectors.EVENT_READ, action)
        else:
            self._drop(connection)
        for one in streams:
            os.close(one)

    def _hear(self, connection: socket.socket, child: int) -> None:
        """Pass on the client's signal. Without its client a child is ended, as if it were it."""
        said, _ = _received(connection)
        signal.pidfd_send_signal(child, said[0] if said else signal.SIGKILL)
        if not said:
            self._drop(connection)

    def _report(self, child: int, ended: int, connection: socket.socket) -> None:
        """Give the client the exit code of its child, or minus the signal that ended it."""
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self._drop(ended)
        if connection.fileno() >= 0:
            with suppress(OSError):  # of a client that is gone
                connection.send(str(code).encode())
            self._drop(connection)

    def _leave(self) -> None:
        """Close, in a child, what is its parent's: the end of a connection is its client's sign."""
        for key in self._watched.get_map().values():
            os.close(key.fd)


def _received(connection: socket.socket) -> tuple[bytes, list[int]]:
    """What a client says, nothing where it is gone, and the streams that come with it."""
    try:
        said, streams, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, len(STREAMS))
    except OSError:
        return b"", []
    return said, streams


def _perform(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Make the run in this child as a fresh process would, and end at once."""
    die_with_parent()
    for one, stream in zip(STREAMS, streams, strict=True):
        os.dup2(stream, one)
        os.close(stream)
    for number in SIGNALS:
        plain = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in request["ignored"] else plain)
    atexit._clear()  # the parent's; what the run adds is its own
    end_at_once(_exit_code(partial(make_run, request["arguments"])))


def _exit_code(work: Callable[[], int]) -> int:
    """What the interpreter would end with."""
    try:
        return work()
    except SystemExit as error:  # of the parser of arguments
        return error.code if isinstance(error.code, int) else EXIT_FAILED
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return EXIT_FAILED


def main() -> None:
    """Load what runs load, and serve. Where that has started threads nobody is served."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.set_inheritable(False)
    pid, _, _ = os.environ[VARIABLE].partition("-")
    try:
        owned_by = os.pidfd_open(int(pid))
        if owner(int(pid)) != os.environ[VARIABLE]:
            return
    except (OSError, ValueError):
        return
    prepare_environment(threads=1)
    load_libraries()
    for registry in (FAMILIES, KINDS, METHODS, METRICS, TASKS):
        registry.import_own()
    run_digest()  # reads the source, which children then need not read again
    gc.freeze()  # the collector of a child needs half a second to look at all that is loaded
    if len(list(Path("/proc/self/task").iterdir())) == 1:
        Worker(listener, owned_by).serve()


if __name__ == "__main__":
    main()
    os._exit(0)
