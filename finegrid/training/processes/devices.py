"""CUDA devices of a run: it leases them by lock files, which its end or its death releases."""

import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from finegrid.training.processes.signals import Interruption

VISIBLE = "CUDA_VISIBLE_DEVICES"
_LISTED = re.compile(r"^(?P<part> *)\S.*\(UUID: (?P<name>[^)]+)\)$")
_POLL_SECONDS = 1.0
_TURN = "turn"
"""In place of a device's name: the lock of the one that looks for devices."""


class NoDeviceError(Exception):
    """A run that needs CUDA devices is shown too few, or too few nodes."""


@contextmanager
def leased(device: str, interruption: Interruption, count: int = 1) -> Iterator[None]:
    """Let the block see `count` CUDA devices that no other run holds, by `CUDA_VISIBLE_DEVICES`.

    To be entered before CUDA is used. Where that variable names as many, a scheduler has assigned
    them, and there is nothing to lease; nor is there with a count of 0, or on any other kind of
    device. While too many are held the run waits: it is delayed then, where giving up would cost
    it an attempt. Raises NoDeviceError, and PreemptedError while it waits.
    """
    names = visible_devices() if device == "cuda" and count else []
    assigned = os.environ.get(VISIBLE)
    if names and len(names) < count:
        raise NoDeviceError(f"devices: {count}; allowed: at most {len(names)}, which are visible")
    if not names or (assigned is not None and len(names) == count):
        yield
        return
    locks = _hold(names, count, interruption)
    os.environ[VISIBLE] = ",".join(locks)
    try:
        yield
    finally:
        if assigned is None:
            os.environ.pop(VISIBLE, None)
        else:
            os.environ[VISIBLE] = assigned
        for lock in locks.values():
            lock.release()


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


def _listed_devices() -> list[str]:
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError) as error:
        logging.warning("no CUDA device is leased, for nvidia-smi does not list them: %s", error)
        return []
    names: list[str] = []
    whole = True
    for found in filter(None, map(_LISTED.match, done.stdout.splitlines())):
        if found["part"] and whole:
            names.pop()  # the device whose first part this is
        whole = not found["part"]
        names.append(found["name"])
    return names


def _hold(names: Sequence[str], count: int, interruption: Interruption) -> dict[str, FileLock]:
    """Device -> its lock, of as many devices as asked."""
    folder = _lease_folder()
    waits = False
    while True:
        # One at a time looks for devices: two that each hold half of what they want would wait
        # for each other.
        with _lock(folder, _TURN):
            if locks := _hold_now(folder, names, count):
                return locks
        if not waits:
            held = "every CUDA device is" if count == 1 else "too many CUDA devices are"
            logging.info("%s held (%s): waiting for %d", held, ", ".join(names), count)
            waits = True
        interruption.obey()
        time.sleep(_POLL_SECONDS)


def _hold_now(folder: Path, names: Sequence[str], count: int) -> dict[str, FileLock]:
    """As many devices as asked, or none."""
    locks: dict[str, FileLock] = {}
    for name in names:
        lock = _lock(folder, name)
        with suppress(Timeout):
            lock.acquire(timeout=0)
            locks[name] = lock
        if len(locks) == count:
            return locks
    for lock in locks.values():
        lock.release()
    return {}


def _lock(folder: Path, device: str) -> FileLock:
    return FileLock(folder / f"{_file_name(device)}.lock", mode=0o666)


def _lease_folder() -> Path:
    """The machine's own folder of leases: whoever uses its devices may hold one."""
    folder = Path(tempfile.gettempdir()) / "finegrid-devices"
    folder.mkdir(exist_ok=True)
    with suppress(PermissionError):  # it is another user's, and open already
        folder.chmod(0o777)
    return folder


def _file_name(device: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", device)
