"""A reader sees the old file or the new one, never a part."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from finegrid.records.identity import file_sha256
from finegrid.records.write import atomic_path, remove_unfinished, write_by_hash, write_text

REPOSITORY = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.json"]


def test_an_error_without_an_old_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "new" / "file"):
        raise KeyboardInterrupt
    assert names(tmp_path / "new") == []


def test_the_file_appears_whole_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.parquet"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"x" * 100_000)
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".parquet"
    assert path.read_bytes() == b"x" * 100_000
    assert names(path.parent) == ["file.parquet"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("first, and long", "é"):
        write_text(path, text)
        assert path.read_bytes() == text.encode("utf-8")


def test_the_bytes_reach_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def flushed(descriptor: int) -> None:
        order.append("flush")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    write_text(tmp_path / "file", "text")
    assert order == ["flush", "rename", "flush"]


def test_a_file_is_named_by_its_hash(tmp_path: Path) -> None:
    # The digest of "abc" in FIPS 180-2.
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path = write_by_hash(tmp_path / "new", ".part", lambda path: write_text(path, "abc"))
    assert path == tmp_path / "new" / f"{digest}.part"
    assert file_sha256(path) == digest
    assert names(path.parent) == [path.name]
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_error_leaves_nothing_that_is_named_by_a_hash(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half of the n")
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        write_by_hash(tmp_path, ".part", fail)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "write",
    ["with atomic_path(folder / 'file.json'): die()", "write_by_hash(folder, '.part', die)"],
)
def test_what_a_killed_process_left_unfinished_is_removed_and_nothing_else(
    tmp_path: Path, write: str
) -> None:
    whole = [".lock", "deep", "file.json", "file.tar.gz"]
    (tmp_path / "deep").mkdir()
    for name in (".lock", "file.json", "file.tar.gz", "deep/.hidden.json"):
        (tmp_path / name).write_text("whole")
    code = (
        "import os, pathlib, signal; from finegrid.records.write import *\n"
        "def die(*path): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n{write}"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == len(whole) + 1
    remove_unfinished(tmp_path)
    assert names(tmp_path) == whole
    assert names(tmp_path / "deep") == [".hidden.json"]
    remove_unfinished(tmp_path / "not there")
