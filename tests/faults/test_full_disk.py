"""A disk that is full leaves what was there, and the run goes on once there is room."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from finegrid.records.result import FAILURE_FILE, RESULT_FILE
from finegrid.records.specification import Specification
from finegrid.training import experiment, job
from finegrid.training.state.checkpoint import Checkpoints
from tests.training.assets import Assets, run_folder
from tests.training.interruptions import ask, assert_same_bits, checkpoints, interrupted

Patch = pytest.MonkeyPatch
Fill = Callable[[], None]
MEGABYTES = 8
LEFT_BYTES = 4096


@contextmanager
def small_disk(folder: Path) -> Iterator[Fill]:
    """A file system of its own there, and how to fill it. Skips where none may be mounted."""
    size = ["-o", f"size={MEGABYTES}m"]
    done = subprocess.run(
        ["mount", "-t", "tmpfs", *size, "finegrid", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
    try:
        yield lambda: occupy(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def occupy(folder: Path) -> None:
    """Leave a page of the file system."""
    free = os.statvfs(folder)
    with (folder / "filler").open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, free.f_bavail * free.f_frsize - LEFT_BYTES)


@contextmanager
def short_files(folder: Path) -> Iterator[Fill]:
    """How to let no file grow beyond a few bytes. It asks for no rights."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def empty(folder: Path) -> None:
    """Make room again."""
    (folder / "filler").unlink(missing_ok=True)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@pytest.fixture(params=[small_disk, short_files])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Fill]]:
    """A folder for results, and how to fill its disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with request.param(folder) as fill:
        yield folder, fill


def full_from(owner: Any, name: str, fill: Fill, patch: Patch) -> None:
    """Let the disk be full from the call of that function on."""
    plain = getattr(owner, name)

    def hindered(*arguments: Any) -> Any:
        fill()
        return plain(*arguments)

    patch.setattr(owner, name, hindered)


def test_the_older_checkpoint_is_left(
    assets: Assets, tmp_path: Path, disk: tuple[Path, Fill], monkeypatch: Patch
) -> None:
    results, fill = disk
    spec = assets.specification(epochs=2, evaluations=3)
    assets.run(spec, tmp_path / "whole")
    assert interrupted(assets, spec, results, ("step", 2), ask()) == os.EX_TEMPFAIL
    before = {path: path.read_bytes() for path in checkpoints(spec, results)}
    with monkeypatch.context() as patch:
        full_from(Checkpoints, "save", fill, patch)
        assert interrupted(assets, spec, results, ("step", 2), ask()) == os.EX_IOERR
    assert {path: path.read_bytes() for path in checkpoints(spec, results)} == before
    empty(results)
    assert assets.main(spec, results) == 0
    assert assert_same_bits(spec, tmp_path / "whole", results).resumed_at_steps == (2,)


PLACES = [(job, "write_result"), (experiment, "write_predictions"), (experiment, "store")]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[1])
def test_the_older_result_is_left(
    assets: Assets,
    disk: tuple[Path, Fill],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: Patch,
    place: tuple[Any, str],
) -> None:
    results, fill = disk
    spec = assets.specification()
    assets.run(spec, results)
    before = (run_folder(spec, results) / RESULT_FILE).read_bytes()
    with monkeypatch.context() as patch:
        full_from(*place, fill, patch)
        assert assets.main(spec, results) == os.EX_IOERR
    assert any(text in caplog.messages[-1] for text in ("File too large", "No space left"))
    assert_nothing_is_torn(spec, results, before)
    empty(results)
    assert assets.main(spec, results) == 0


def assert_nothing_is_torn(spec: Specification, results: Path, before: bytes) -> None:
    folder = run_folder(spec, results)
    assert (folder / RESULT_FILE).read_bytes() == before
    hidden = [path.name for path in folder.rglob(".*")]
    assert hidden == [".lock"]
    assert not (folder / FAILURE_FILE).exists()
