"""Files out of wheels, and folders out of archives."""

import re
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from finegrid.prepare.sources import DownloadError, SourceError, fetch, problems
from finegrid.records.identity import file_sha256
from finegrid.records.specification import Source
from tests.prepare.test_sources import WRONG, contents, of_archive, sdist, sha, write

WHEEL = "boxed_in-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: boxed-in\nVersion: 1.0\n"
TAGS = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
FILES = {
    "boxed/model/a": "A",
    "boxed/model/sub/b": "B",
    "boxed/__init__.py": "raise RuntimeError('run')",
    "boxed_in-1.0.dist-info/METADATA": METADATA,
    "boxed_in-1.0.dist-info/WHEEL": TAGS,
    "boxed_in-1.0.dist-info/RECORD": "",
}


def wheel(path: Path, **links: str) -> Path:
    """A real wheel; `links` are links of Unix in its folder of models."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
        for name, target in links.items():
            info = zipfile.ZipInfo(f"boxed/model/{name}")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    return path


def of_wheel(archive: Path, inner: str = "boxed/model/a", **hashes: str) -> Source:
    listed = {archive.name: file_sha256(archive)} | hashes
    return Source(uri=f"wheel:boxed-in==1.0/{inner}", sha256=listed)


def test_a_file_comes_out_of_a_wheel_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    archive = wheel(tmp_path / "cache" / WHEEL)
    source = of_wheel(archive, a=sha("A"))
    assert problems(source) == []
    assert fetch(source, tmp_path / "out", cache=archive.parent) == {"a": sha("A")}
    assert contents(tmp_path / "out") == {"a": "A"}


def test_a_folder_of_an_archive_comes_whole(tmp_path: Path) -> None:
    archive = wheel(tmp_path / "cache" / WHEEL)
    found = fetch(of_wheel(archive, "boxed/model/"), tmp_path / "out", cache=archive.parent)
    assert found == {"a": sha("A"), "sub/b": sha("B")}
    assert contents(tmp_path / "out") == {"a": "A", "sub/b": "B"}
    other = sdist(tmp_path / "cache" / "boxed-1.0.tar.gz", data__a="A", data__b__c="C", x="X")
    fetch(of_archive(other, "data/"), tmp_path / "all", cache=other.parent)
    assert contents(tmp_path / "all") == {"a": "A", "b/c": "C"}
    fetch(of_archive(other, "data/", a=sha("A")), tmp_path / "one", cache=other.parent)
    assert contents(tmp_path / "one") == {"a": "A"}


def test_another_hash_of_the_file_in_a_wheel_is_refused(tmp_path: Path) -> None:
    archive = wheel(tmp_path / "cache" / WHEEL)
    with pytest.raises(SourceError, match=f"file a has sha256 {sha('A')}, expected {WRONG}"):
        fetch(of_wheel(archive, a=WRONG), tmp_path / "out", cache=archive.parent)
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ("boxed/model/x", f"file boxed/model/x not found in {WHEEL}"),
        ("boxed/x/", f"folder boxed/x/ not found in {WHEEL}"),
        ("boxed/model/link", f"file boxed/model/link in {WHEEL} is no regular file"),
        ("boxed/__init__.py", "file __init__.py of wheel:boxed-in==1.0/boxed/__init__.py is code"),
        ("boxed/", "is code, which no source may bring"),
    ],
)
def test_what_a_wheel_does_not_give_is_named(tmp_path: Path, inner: str, message: str) -> None:
    archive = wheel(tmp_path / "cache" / WHEEL, link="/etc/hostname")
    with pytest.raises(SourceError, match=re.escape(message)):
        fetch(of_wheel(archive, inner), tmp_path / "out", cache=archive.parent)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "listed", [{}, {"a": WRONG}, {"other-1.0-py3-none-any.whl": WRONG}, {"boxed_in-1.0.whl": WRONG}]
)
def test_the_wheel_itself_has_to_be_listed(listed: dict[str, str]) -> None:
    uri = "wheel:Boxed.In==1.0/a"
    [problem] = problems(Source(uri=uri, sha256=listed))
    assert problem == f"{uri}: sha256 must list the archive itself, boxed_in-1.0-....whl"


def of_whole(archive: Path, **hashes: str) -> Source:
    listed = {archive.name: file_sha256(archive)} | hashes
    return Source(uri="wheel:boxed-in==1.0", sha256=listed)


def test_a_wheel_without_a_path_is_the_one_file_that_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    archive = wheel(tmp_path / "cache" / WHEEL)
    source = of_whole(archive)
    assert problems(source) == []
    assert fetch(source, tmp_path / "out", cache=archive.parent) == source.sha256
    assert [path.name for path in (tmp_path / "out").iterdir()] == [WHEEL]
    assert (tmp_path / "out" / WHEEL).read_bytes() == archive.read_bytes()


def test_of_a_wheel_itself_no_other_file_is_listed() -> None:
    uri = "wheel:boxed-in==1.0"
    [problem] = problems(Source(uri=uri, sha256={WHEEL: WRONG, "a": WRONG, "b": WRONG}))
    assert problem == f"{uri}: sha256 lists a, b; allowed: the wheel alone, {WHEEL}"
    [problem] = problems(Source(uri=uri, sha256={"a": WRONG}))
    assert problem == f"{uri}: sha256 must list the archive itself, boxed_in-1.0-....whl"


@pytest.mark.parametrize(
    ("uri", "form"),
    [
        ("sdist:boxed==1.0", "sdist:<project>==<version>/<path>"),
        ("sdist:boxed==1.0/", "sdist:<project>==<version>/<path>"),
        ("wheel:boxed==1.0/", "wheel:<project>==<version>/<path>, or without /<path>"),
        ("wheel:boxed", "wheel:<project>==<version>/<path>, or without /<path>"),
        ("package:boxed", "package:<import name>/<path>"),
    ],
)
def test_the_path_is_left_out_of_wheels_alone(uri: str, form: str) -> None:
    assert problems(Source(uri=uri)) == [f"{uri}: expected the form {form}"]


def test_pip_brings_a_whole_wheel_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    source = of_whole(wheel(tmp_path / "index" / WHEEL))
    assert fetch(source, tmp_path / "out", cache=tmp_path / "cache") == source.sha256
    other = Source(uri=source.uri, sha256={WHEEL: WRONG})
    with pytest.raises(DownloadError, match=r"(?s)boxed-in==1.0: pip .*DO NOT MATCH THE HASHES"):
        fetch(other, tmp_path / "other", cache=tmp_path / "empty")
    assert not (tmp_path / "other").exists()


def test_a_wheel_that_is_none_is_named(tmp_path: Path) -> None:
    archive = write(tmp_path / "cache", **{WHEEL: "text"}) / WHEEL
    with pytest.raises(SourceError, match=f"{WHEEL}: File is not a zip file"):
        fetch(of_wheel(archive), tmp_path / "out", cache=archive.parent)


def test_pip_brings_the_wheel_that_was_listed_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    archive = wheel(tmp_path / "index" / WHEEL)
    cache = tmp_path / "cache"
    assert fetch(of_wheel(archive), tmp_path / "out", cache=cache) == {"a": sha("A")}
    assert file_sha256(cache / WHEEL) == file_sha256(archive)
    other = Source(uri="wheel:boxed-in==1.0/boxed/model/a", sha256={WHEEL: WRONG})
    with pytest.raises(DownloadError, match=r"(?s)boxed-in==1.0: pip .*DO NOT MATCH THE HASHES"):
        fetch(other, tmp_path / "other", cache=tmp_path / "empty")
