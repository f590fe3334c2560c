"""CUDA devices of a run: it leases them by locks of files, which its end or its death releases."""

import fcntl
import logging
import os
import re
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from finegrid.training.processes.signals import Interruption

VISIBLE = "CUDA_VISIBLE_DEVICES"
PARTS = 840
"""Of a device: runs that share one hold some of them each, all others hold all. Any number of runs
up to 8 has equal shares, and up to 16 nearly."""
CONTEXT_BYTES = 1_000_000_000
"""What a process takes of a device beside its tensors: driver, libraries and kernels."""
_LISTED = re.compile(r"^(?P<part> *)\S.*\(UUID: (?P<name>[^)]+)\)$")
_MEMORY_COLUMNS = ("index", "uuid", "memory.total")
_MEBIBYTE = 1 << 20
_POLL_SECONDS = 1.0
_TURN = "turn"
"""In place of a device's name: the lock of the one that looks for devices."""
_FLOCK = "hhqqi0q"
"""The C structure of a lock: type, whence, start, length, process; padded to its alignment."""


class NoDeviceError(Exception):
    """A run that needs CUDA devices is shown too few, or too few nodes."""


@contextmanager
def leased(
    device: str, interruption: Interruption, count: int = 1, parts: int = PARTS
) -> Iterator[None]:
    """Let the block see `count` CUDA devices, by `CUDA_VISIBLE_DEVICES`.

    No other run holds any of them, or those `parts` of each. To be entered before CUDA is used.
    Where that variable names as many, a scheduler has assigned them, and there is nothing to lease
    but a share; nor is there with a count of 0, or on any other kind of device. While too many are
    held the run waits: it is delayed then, where giving up would cost it an attempt. Raises
    NoDeviceError, and PreemptedError while it waits.
    """
    names = visible_devices() if device == "cuda" and count else []
    assigned = os.environ.get(VISIBLE)
    if names and len(names) < count:
        raise NoDeviceError(f"devices: {count}; allowed: at most {len(names)}, which are visible")
    if not names or (assigned is not None and len(names) == count and parts == PARTS):
        yield
        return
    leases = _hold(names, count, interruption, parts)
    os.environ[VISIBLE] = ",".join(leases)
    try:
        yield
    finally:
        if assigned is None:
            os.environ.pop(VISIBLE, None)
        else:
            os.environ[VISIBLE] = assigned
        for lease in leases.values():
            lease.release()


def confine(parts: int) -> None:
    """Let this process's tensors take no more of its only device than those parts hold."""
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(share_of_memory(parts, total))


def share_of_memory(parts: int, total_bytes: int) -> float:
    """The share of a device's memory that those parts leave for tensors."""
    return max(0.0, parts / PARTS - CONTEXT_BYTES / total_bytes)


def visible_devices() -> list[str]:
    """The CUDA devices that this process may use, as `CUDA_VISIBLE_DEVICES` names them.

    Where it is not set these are all of the machine; a device that is partitioned counts by its
    parts. Empty where the driver's tool does not list them. Raises NoDeviceError.
    """
    text = os.environ.get(VISIBLE)
    if text is None:
        return _listed_devices()
    names = [name.strip() for name in text.split(",")]
    ends = [at for at, name in enumerate(names) if name in ("", "-1")]
    shown = names[: ends[0]] if ends else names  # CUDA ignores what follows an invalid name
    if not shown:
        raise NoDeviceError(f"{VISIBLE}: {text!r} names no device; allowed: indices or UUIDs")
    return shown


def smallest_memory_bytes() -> int | None:
    """The memory of the smallest device that this process may use.

    None where the driver's tool does not say, as of a part of a device. Raises NoDeviceError.
    """
    known = _memories()
    found = [known.get(name) for name in visible_devices()]
    return min((one for one in found if one is not None), default=None) if all(found) else None


def _listed_devices() -> list[str]:
    names: list[str] = []
    whole = True
    for found in filter(None, map(_LISTED.match, _told_by_driver("-L"))):
        if found["part"] and whole:
            names.pop()  # the device whose first part this is
        whole = not found["part"]
        names.append(found["name"])
    return names


def _memories() -> dict[str, int]:
    """Index and UUID of each device -> bytes of its memory."""
    query = f"--query-gpu={','.join(_MEMORY_COLUMNS)}"
    rows = [line.split(", ") for line in _told_by_driver(query, "--format=csv,noheader,nounits")]
    whole = [row for row in rows if len(row) == len(_MEMORY_COLUMNS) and row[-1].isdigit()]
    return {name: int(row[-1]) * _MEBIBYTE for row in whole for name in row[:-1]}


def _told_by_driver(*arguments: str) -> list[str]:
    """The lines of the driver's tool; none, and a warning, where it fails."""
    command = ["nvidia-smi", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        logging.warning("no CUDA device is leased, for nvidia-smi does not list them: %s", error)
        return []
    return done.stdout.splitlines()


class _Lease:
    """Parts of a device, each a byte of its file that nobody else has locked."""

    def __init__(self, file: Path) -> None:
        self._stream = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        with suppress(PermissionError):  # it is another user's, and open already
            file.chmod(0o666)
        self._held: list[int] = []

    def take(self) -> int:
        """Hold all parts that are free; how many they are."""
        self._held = [part for part in range(PARTS) if self._lock(fcntl.F_WRLCK, part)]
        return len(self._held)

    def keep(self, parts: int) -> None:
        """Give the others back."""
        for part in self._held[parts:]:
            self._lock(fcntl.F_UNLCK, part)
        del self._held[parts:]

    def release(self) -> None:
        """Give all of them back; once at most."""
        os.close(self._stream)

    def _lock(self, how: int, part: int) -> bool:
        """Whether the lock of one part could be changed so."""
        wanted = struct.pack(_FLOCK, how, os.SEEK_SET, part, 1, 0)
        try:
            # Of the open file: that of a process would not stand between two of its own leases.
            fcntl.fcntl(self._stream, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):
            return False
        return True


def _hold(
    names: Sequence[str], count: int, interruption: Interruption, parts: int = PARTS
) -> dict[str, _Lease]:
    """Device -> its lease, of as many devices as asked."""
    folder = _lease_folder()
    waits = False
    while True:
        # One at a time looks for devices: two that each hold half of what they want would wait
        # for each other.
        with FileLock(folder / f"{_TURN}.lock", mode=0o666):
            if leases := _hold_now(folder, names, count, parts):
                return leases
        if not waits:
            held = "every CUDA device is" if count == 1 else "too many CUDA devices are"
            share = "" if parts == PARTS else f", or {parts} of the {PARTS} parts of one"
            logging.info("%s held (%s): waiting for %d%s", held, ", ".join(names), count, share)
            waits = True
        interruption.obey()
        time.sleep(_POLL_SECONDS)


def _hold_now(folder: Path, names: Sequence[str], count: int, parts: int) -> dict[str, _Lease]:
    """As many devices as asked, or none; of those with room the ones that have most."""
    leases = {name: _Lease(folder / f"{_file_name(name)}.parts") for name in names}
    free = {name: lease.take() for name, lease in leases.items()}
    roomy = sorted((name for name in names if free[name] >= parts), key=lambda name: -free[name])
    chosen = set(roomy[:count]) if len(roomy) >= count else set()
    for name, lease in leases.items():
        if name in chosen:
            lease.keep(parts)
        else:
            lease.release()
    return {name: lease for name, lease in leases.items() if name in chosen}


def _lease_folder() -> Path:
    """The machine's own folder of leases: whoever uses its devices may hold one."""
    folder = Path(tempfile.gettempdir()) / "finegrid-devices"
    folder.mkdir(exist_ok=True)
    with suppress(PermissionError):  # it is another user's, and open already
        folder.chmod(0o777)
    return folder


def _file_name(device: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", device)
