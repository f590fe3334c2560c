"""What stands for `python` in tests: `python -m module` is forked from `server.py`.

Its environment says where that listens and which interpreter is the real one, which takes the place
of this process for anything else.
"""

import json
import os
import signal
import socket
import sys
from typing import NoReturn

SERVER, REAL = "TESTS_WARM_SERVER", "TESTS_REAL_PYTHON"
_COLD = ("finegrid.training.processes.client", "finegrid.training.processes.worker")
"""Modules that hand on file descriptors by their numbers."""
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def is_forked(arguments: list[str]) -> bool:
    """Whether a forked child does what a fresh interpreter does."""
    return len(arguments) > 1 and arguments[0] == "-m" and arguments[1] not in _COLD


def main(executable: str, arguments: list[str]) -> NoReturn:
    """End as the program ends."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect("\0" + os.environ[SERVER])
    ignored = [n for n in _PASSED_ON if signal.getsignal(n) is signal.SIG_IGN]
    for one in set(_PASSED_ON) - set(ignored):
        signal.signal(one, lambda number, frame: connection.send(bytes([number])) and None)
    request = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "executable": executable,
        "folder": os.getcwd(),  # noqa: PTH109
        "ignored": [int(one) for one in ignored],
    }
    socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
    code = int(connection.recv(16) or 1)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    if is_forked(sys.argv[1:]):
        main(sys.argv[0], sys.argv[1:])
    os.execv(os.environ[REAL], [os.environ[REAL], *sys.argv[1:]])  # noqa: S606
