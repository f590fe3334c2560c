"""Archives of data: what they unpack to, and what they may not do."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from finegrid.prepare.packed import opened, unpack_below
from finegrid.prepare.sources import SourceError
from finegrid.records.identity import shown_files
from tests.planning.own_folders.public_sets import write
from tests.security.test_files import escapes

FILES: dict[str, bytes | str] = {"cat/1.jpg": "a", "dog/2.jpg": "b"}


def packed(folder: Path, ending: str) -> Path:
    """The files in an archive, as `zip -r` and `tar -C` make it."""
    root = write(folder / "content", FILES | {"__MACOSX/cat/._1.jpg": "left", ".DS_Store": "left"})
    place = folder / "data" / f"pets{ending}"
    place.parent.mkdir()
    if ending.lower() == ".zip":
        with zipfile.ZipFile(place, "w") as archive:
            for path in sorted(root.rglob("*")):
                archive.write(path, path.relative_to(root))
    else:
        mode = {".tar": "w", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}[ending]
        with tarfile.open(place, mode) as tar:  # type: ignore[call-overload]
            tar.add(root, ".")
    return place


@pytest.mark.parametrize("ending", [".zip", ".ZIP", ".tar", ".tgz", ".tar.bz2", ".tar.xz"])
def test_an_archive_is_the_folder_that_it_unpacks_to(tmp_path: Path, ending: str) -> None:
    place = packed(tmp_path, ending)
    (place.parent / "LICENSE").write_text("free")
    for given, more in ((place.parent, ["LICENSE"]), (place, [])):
        with opened(given) as folder:
            assert shown_files(folder) == [*more, *(f"pets/{name}" for name in FILES)]
            assert (folder / "pets/cat/1.jpg").read_text() == "a"
    assert place.is_file()
    unpack_below(place.parent)
    assert shown_files(place.parent) == ["LICENSE", *(f"pets/{name}" for name in FILES)]


def test_an_archive_beside_what_it_unpacks_to_is_refused(tmp_path: Path) -> None:
    place = packed(tmp_path, ".zip")
    write(place.parent, {"pets/cat/1.jpg": "a"})
    with pytest.raises(SourceError, match=r"pets\.zip and pets/ are both there; allowed: one of"):
        opened(place.parent).__enter__()


def test_nothing_leaves_the_folder_and_no_link_is_written(tmp_path: Path) -> None:
    place = tmp_path / "data" / "boxed.tar"
    place.parent.mkdir()
    with tarfile.open(place, "w") as tar:
        escapes(tar, tmp_path / "outside")
    with pytest.raises(SourceError, match="the name leads outside of its folder"):
        unpack_below(place.parent)
    with tarfile.open(place, "w") as tar:
        link = tarfile.TarInfo("cat")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
    with pytest.raises(SourceError, match=r"boxed\.tar holds no files"):
        unpack_below(place.parent)
    assert not (tmp_path / "outside").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
