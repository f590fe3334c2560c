"""What stands for `python` in tests: `python -m module` is forked from `server.py`.

Its environment says where that listens and which interpreter is the real one, which takes the place
of this process for anything else.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import NoReturn

SERVER, REAL = "TESTS_WARM_SERVER", "TESTS_REAL_PYTHON"
_STREAMS = (0, 1, 2)
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def is_forked(arguments: list[str]) -> bool:
    """Whether a forked child does what a fresh interpreter does."""
    return len(arguments) > 1 and arguments[0] == "-m"


def main(executable: str, arguments: list[str]) -> NoReturn:
    """End as the program ends."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect("\0" + os.environ[SERVER])
    ignored = [n for n in _PASSED_ON if signal.getsignal(n) is signal.SIG_IGN]
    for one in set(_PASSED_ON) - set(ignored):
        signal.signal(one, lambda number, frame: connection.send(bytes([number])) and None)
    opened = [*_STREAMS, *_handed_on(connection.fileno())]
    request = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "executable": executable,
        "folder": os.getcwd(),  # noqa: PTH109
        "ignored": [int(one) for one in ignored],
        "leads": os.getsid(0) == os.getpid(),
        "opened": opened,
    }
    socket.send_fds(connection, [json.dumps(request).encode()], opened)
    for number in opened[len(_STREAMS) :]:
        os.close(number)  # whoever waits for the end of all copies waits for the program's
    code = int(connection.recv(16) or 1)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _handed_on(own: int) -> list[int]:
    """The further file descriptors that this process was started with, known by their numbers."""
    found = []
    for number in set(map(int, os.listdir("/proc/self/fd"))) - {own, *_STREAMS}:  # noqa: PTH208
        with suppress(OSError):  # that of the folder is closed
            if os.get_inheritable(number):
                found.append(number)
    return found


if __name__ == "__main__":
    if is_forked(sys.argv[1:]):
        main(sys.argv[0], sys.argv[1:])
    os.execv(os.environ[REAL], [os.environ[REAL], *sys.argv[1:]])  # noqa: S606
