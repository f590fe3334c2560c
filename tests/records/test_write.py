"""A reader sees the old file or the new one, never a part."""

import os
from pathlib import Path

import pytest

from records.write import atomic_path, write_text


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
