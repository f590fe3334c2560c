"""A process that has loaded the libraries, and forks a child for each program that is asked for.

It is started with the file descriptor of a socket on which `client.py` calls, and ends with its
standard input. Nothing of finegrid is loaded here: a child loads the source that it is told of.
"""

import atexit
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

LIBRARIES = (
    "evaluate",
    "seaborn",
    "sklearn.metrics",
    "snakemake.cli",
    "torch._dynamo",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",
    "typer",
)
_LONGEST_REQUEST = 2**18
_MOST_FILES = 64


def main() -> None:
    """Load the libraries and serve."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.set_inheritable(False)
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        ready, _, _ = select.select([listener.fileno(), 0], [], [])
        if 0 in ready:
            break
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _attend(connection)
        connection.close()


def _reap(number: int, frame: FrameType | None) -> None:
    """Forget the children that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _attend(connection: socket.socket) -> NoReturn:
    """Start the program, pass on the client's signals, and tell how the program ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    said, streams, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, _MOST_FILES)
    child = os.fork()
    if child == 0:
        connection.close()
        _perform(json.loads(said), streams)
    for one in streams:
        os.close(one)
    ended = os.pidfd_open(child)
    client = connection.fileno()
    while ended not in (ready := select.select([client, ended], [], [])[0]):
        number = connection.recv(1)
        signal.pidfd_send_signal(ended, number[0] if number else signal.SIGKILL)
        if not number:
            select.select([ended], [], [])
            break
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ready:
        with suppress(OSError):
            connection.send(str(code).encode())
    os._exit(0)


def _perform(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Run `python -m module arguments...` as a fresh interpreter would, and end at once."""
    _place(streams, request["opened"])
    if request["leads"]:
        os.setsid()
    for number in range(1, signal.NSIG):
        if number in request["ignored"]:
            signal.signal(number, signal.SIG_IGN)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.executable = request["executable"]
    sys.orig_argv = [sys.executable, *request["arguments"]]
    paths = os.environ.get("PYTHONPATH", "")
    sys.path[:0] = [os.getcwd(), *filter(None, paths.split(os.pathsep))]  # noqa: PTH109
    importlib.invalidate_caches()
    sys.modules.pop("sitecustomize", None)  # a system may have one of its own
    with suppress(ModuleNotFoundError):
        importlib.import_module("sitecustomize")  # as Python does, when it starts
    _, module, *sys.argv[1:] = request["arguments"]
    atexit._clear()
    code = _exit_code(lambda: runpy.run_module(module, run_name="__main__", alter_sys=True))
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def _place(received: list[int], numbers: list[int]) -> None:
    """Give file descriptors their numbers, of which none is one that was received."""
    aside = [fcntl.fcntl(one, fcntl.F_DUPFD, max(numbers) + 1) for one in received]
    for one in received:
        os.close(one)
    for one, number in zip(aside, numbers, strict=True):
        os.dup2(one, number)
        os.close(one)


def _exit_code(work: Callable[[], object]) -> int:
    """What the interpreter would end with."""
    try:
        # What is imported by its package before it runs would be warned of.
        warnings.filterwarnings("ignore", message=".*found in sys.modules", module="runpy")
        work()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
