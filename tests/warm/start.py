"""Python programs that start at once: forked from a process that has loaded the libraries.

To load torch, transformers or Snakemake takes three to eight seconds of a processor, and tests
start such programs by the dozen. What a user starts is started cold by some tests of each kind:
what is interrupted in `tests/faults`, and the smoke benchmark, among them.
"""

import atexit
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from finegrid.training.run import prepare_environment
from tests.warm import client

REAL = sys.executable
_HERE = Path(__file__).parent


@contextmanager
def warm_python() -> Iterator[None]:
    """Let `python` and `sys.executable` be the stand-in, for what is started in the block."""
    program, name = _started()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(program.parent), prepend=os.pathsep)
        patch.setenv(client.SERVER, name)
        patch.setenv(client.REAL, REAL)
        patch.setattr(sys, "executable", str(program))
        yield


@cache
def _started() -> tuple[Path, str]:
    """The stand-in, and the name of the socket of the server, which ends with this process."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    name = f"finegrid-tests-{os.getpid()}"
    listener.bind("\0" + name)
    listener.listen(socket.SOMAXCONN)
    command = [REAL, "-P", str(_HERE / "server.py"), str(listener.fileno())]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        patch.setattr(os, "environ", os.environ.copy())
        prepare_environment(threads=1)  # libraries read it when they are loaded
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()], env=os.environ
        )
    listener.close()
    folder = Path(tempfile.mkdtemp())
    program = folder / "python"
    program.write_text(f"#!{REAL} -IS\n{Path(client.__file__).read_text()}")
    program.chmod(0o755)

    def end() -> None:
        assert process.stdin
        process.stdin.close()
        process.wait()
        program.unlink()
        folder.rmdir()

    atexit.register(end)
    return program, name
