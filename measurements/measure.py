"""What a command takes: wall-clock and processor seconds, and peak memory."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

_POLL_SECONDS = 0.02
_LAST_WORDS = 2000
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Usage:
    """What one call of a command took."""

    wall_seconds: float
    processor_seconds: float
    """User and system time, of its children too."""
    peak_bytes: int
    """The largest resident set of the process itself, every 20 ms."""


def measured(command: Sequence[str], folder: Path, expected: str = "") -> Usage:
    """Run a command in a folder.

    Raises RuntimeError with its last words where it fails, or where it does not say what matches
    the pattern `expected`: then it did something else than what is measured.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        start, peak = time.perf_counter(), 0
        process = subprocess.Popen(  # noqa: S603  # our own interpreter, arguments without a shell
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            peak = max(peak, _peak_bytes(process.pid))
            time.sleep(_POLL_SECONDS)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        output.seek(0)
        said = output.read()
    if process.returncode or not re.search(expected, said):
        raise RuntimeError(f"{' '.join(command)}: {said[-_LAST_WORDS:]}")
    return Usage(wall, ended[2].ru_utime + ended[2].ru_stime, peak)


def best(command: Sequence[str], folder: Path, repeats: int, expected: str = "") -> Usage:
    """The smallest of each figure over several calls. Raises as `measured` does."""
    calls = [measured(command, folder, expected) for _ in range(repeats)]
    return Usage(
        min(call.wall_seconds for call in calls),
        min(call.processor_seconds for call in calls),
        min(call.peak_bytes for call in calls),
    )


def machine(packages: Sequence[str]) -> str:
    """What the figures were measured on, with the versions of these packages."""
    models = [
        line.split(": ", 1)[1]
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    processor = models[0] if models else platform.processor()
    return (
        f"{processor}, {os.cpu_count()} cores, {memory / 1e9:.0f} GB, {platform.system()}, "
        f"Python {platform.python_version()}, {versions}"
    )


def _peak_bytes(pid: int) -> int:
    """Not `ru_maxrss`: a child inherits it from the process that started it."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) * 1024 if found else 0
