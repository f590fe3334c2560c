import hashlib
import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from pydantic import ValidationError

from finegrid.prepare.sources import DownloadError, SourceError, fetch, problems
from finegrid.records.identity import file_sha256
from finegrid.records.specification import Source

REVISION = "0123456789abcdef0123456789abcdef01234567"
WRONG = "0" * 64


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that fails when imported."""
    root = write(tmp_path / "site" / "boxed", data__a="A", data__sub__b="B", data__c="C")
    (root / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(root.parent)
    return root


def sdist(path: Path, **texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, text in texts.items():
            member = tarfile.TarInfo(f"boxed-1.0/{name.replace('__', '/')}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def of_archive(archive: Path, inner: str = "data/a", **hashes: str) -> Source:
    return Source(
        uri=f"sdist:boxed==1.0/{inner}", sha256={"boxed-1.0.tar.gz": file_sha256(archive), **hashes}
    )


# Packages and paths


def test_a_package_file_comes_without_an_import(package: Path, tmp_path: Path) -> None:
    source = Source(uri="package:boxed/data/a", sha256={"a": sha("A")})
    assert problems(source) == []
    assert fetch(source, tmp_path / "out") == {"a": sha("A")}
    assert contents(tmp_path / "out") == {"a": "A"}
    assert "boxed" not in sys.modules


def test_a_folder_brings_all_files_listed_files_or_those_asked_for(
    package: Path, tmp_path: Path
) -> None:
    uri = "package:boxed/data"
    assert fetch(Source(uri=uri), tmp_path / "all") == {
        "a": sha("A"),
        "c": sha("C"),
        "sub/b": sha("B"),
    }
    listed = Source(uri=uri, sha256={"sub/b": sha("B"), "a": sha("A")})
    assert set(fetch(listed, tmp_path / "listed")) == {"a", "sub/b"}
    assert contents(tmp_path / "listed") == {"a": "A", "sub/b": "B"}
    assert fetch(listed, tmp_path / "asked", ("c", "a")) == {"c": sha("C"), "a": sha("A")}


def test_a_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, data__a="A")
    monkeypatch.chdir(tmp_path)
    assert fetch(Source(uri="path:data/a"), Path("out")) == {"a": sha("A")}
    assert fetch(Source(uri="path:data"), Path("other")) == {"a": sha("A")}


def test_another_hash_is_refused_and_nothing_is_left(package: Path, tmp_path: Path) -> None:
    source = Source(uri="package:boxed/data/a", sha256={"a": WRONG})
    message = f"file a has sha256 {sha('A')}, expected {WRONG}: its content has changed since "
    with pytest.raises(SourceError, match=message):
        fetch(source, tmp_path / "out")
    assert contents(tmp_path / "out") == {}
    assert problems(source) == [f"{message}that hash was taken"]


@pytest.mark.parametrize(
    ("uri", "hashes", "message"),
    [
        ("package:boxed/data/x", {}, "package file data/x not found in installed package boxed"),
        ("package:unboxed/a", {}, "package unboxed is not installed"),
        ("package:json.decoder/a", {}, "expected the form package:<import name>/<path>"),
        ("package:boxed", {}, "expected the form package:<import name>/<path>"),
        ("package:boxed/data", {"x": WRONG}, "file x not found in package:boxed/data"),
        ("package:boxed/data", {"../__init__.py": WRONG}, "leads outside"),
        ("package:boxed/../outside", {}, "leads outside"),
        ("path:/nonexistent/a", {}, "path /nonexistent/a does not exist"),
        ("sdist:boxed/data/a", {}, "expected the form sdist:<project>==<version>/<path>"),
        ("sdist:boxed==1.0/a", {}, "sha256 must list the archive itself, boxed-1.0.tar.gz"),
    ],
)
def test_planning_and_fetching_report_the_same(
    package: Path, tmp_path: Path, uri: str, hashes: dict[str, str], message: str
) -> None:
    write(package.parent, outside="secret")
    source = Source(uri=uri, sha256=hashes)
    [problem] = problems(source)
    assert message in problem
    with pytest.raises(SourceError, match="^" + re.escape(problem)):
        fetch(source, tmp_path / "out")


def test_an_unknown_kind_is_named() -> None:
    [problem] = problems(Source.model_construct(uri="ftp:a/b", revision=None, sha256={}))
    assert problem == (
        "ftp:a/b: unknown kind of source, allowed: hub, package, sdist, wheel, deb, path"
    )


def test_hub_form_is_checked_before_any_download() -> None:
    assert (
        "expected the form hub:<owner>/<name>"
        in problems(Source(uri="hub:only-a-name", revision=REVISION))[0]
    )
    assert problems(Source(uri="hub:owner/name", revision=REVISION)) == []


def test_an_asked_file_that_is_missing_is_named(package: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="file x not found in package:boxed/data"):
        fetch(Source(uri="package:boxed/data"), tmp_path / "out", ("x",))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no files"):
        fetch(Source(uri=f"path:{tmp_path}/empty"), tmp_path / "out")


def test_links_in_a_path_are_the_user_s_own(tmp_path: Path) -> None:
    """As the hub's cache has them, scratch disks, and folders that one gathers of others."""
    write(tmp_path, blobs__1="s", big__b="B", data__a="A")
    data = tmp_path / "data"
    (data / "inner").symlink_to("a")
    (data / "outer").symlink_to("../blobs/1")
    (data / "folder").symlink_to(tmp_path / "big")
    (data / "folder" / "back").symlink_to(data)
    (tmp_path / "other name").symlink_to(data)
    for uri in (f"path:{data}", f"path:{tmp_path}/other name"):
        found = fetch(Source(uri=uri), tmp_path / "out")
        expected = {"a": "A", "folder/b": "B", "inner": "A", "outer": "s"}
        assert contents(tmp_path / "out") == expected
        assert found == {name: sha(text) for name, text in expected.items()}
        assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))
    assert fetch(Source(uri=f"path:{data}"), tmp_path / "one", ("folder/b",)) == {
        "folder/b": sha("B")
    }


def test_a_link_that_leads_nowhere_is_named_with_what_it_names(tmp_path: Path) -> None:
    write(tmp_path, data__a="A")
    (tmp_path / "data" / "b").symlink_to("../blobs/2")
    source = Source(uri=f"path:{tmp_path}/data")
    message = f"file b not found in path:{tmp_path}/data: it is a link to ../blobs/2"
    assert problems(source) == [message]
    with pytest.raises(SourceError, match=re.escape(message)):
        fetch(source, tmp_path / "out")


@pytest.mark.parametrize("links", ["file", "folder"])
def test_a_link_out_of_a_package_is_refused(package: Path, tmp_path: Path, links: str) -> None:
    write(tmp_path, private__s="s")
    (package / "data" / "inner").symlink_to("a")
    source = Source(uri="package:boxed/data")
    assert fetch(source, tmp_path / "out")["inner"] == sha("A")
    leads_to = {"file": tmp_path / "private" / "s", "folder": tmp_path / "private"}
    (package / "data" / "outer").symlink_to(leads_to[links])
    [problem] = problems(source)
    assert "leads outside of data" in problem
    with pytest.raises(SourceError, match="leads outside of data"):
        fetch(source, tmp_path / "other")


@pytest.mark.parametrize(
    "name", ["my data", "a  b/c d", "données", 'it\'s {x} $HOME & "more"', "~", "a:b"]
)
def test_a_path_is_any_that_the_system_has(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, a="A")
    source = Source.model_validate_json(Source(uri=f"path:{tmp_path}/{name}").model_dump_json())
    assert problems(source) == []
    assert fetch(source, tmp_path / "out") == {"a": sha("A")}


@pytest.mark.parametrize(
    "uri", ["path:", "path: x", "path:x ", "path:a\nb", "path:a\0", "hub:a b/c"]
)
def test_a_path_that_is_a_slip_is_refused(uri: str) -> None:
    with pytest.raises(ValidationError):
        Source(uri=uri, revision=REVISION if uri.startswith("hub") else None)


def test_a_tilde_is_the_user_s_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, data__a="A")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch(Source(uri="path:~/data"), tmp_path / "out") == {"a": sha("A")}
    [problem] = problems(Source(uri="path:~nobody-here/data"))
    assert "it is not known what ~ is" in problem


def test_a_relative_path_that_is_missing_says_from_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert problems(Source(uri="path:x")) == [f"path x does not exist in {tmp_path}"]


# Source distributions


def test_a_cached_archive_needs_no_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    archive = sdist(tmp_path / "cache" / "boxed-1.0.tar.gz", data__a="A", a="other")
    source = of_archive(archive, a=sha("A"))
    assert fetch(source, tmp_path / "out", cache=archive.parent) == {"a": sha("A")}
    assert contents(tmp_path / "out") == {"a": "A"}


def test_an_inner_file_with_another_hash_is_refused(tmp_path: Path) -> None:
    archive = sdist(tmp_path / "cache" / "boxed-1.0.tar.gz", data__a="A")
    with pytest.raises(SourceError, match=f"file a has sha256 {sha('A')}, expected {WRONG}"):
        fetch(of_archive(archive, a=WRONG), tmp_path / "out", cache=archive.parent)


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    archive = sdist(tmp_path / "cache" / "boxed-1.0.tar.gz", data__a="A")
    with pytest.raises(SourceError, match=r"file data/x not found in boxed-1.0.tar.gz"):
        fetch(of_archive(archive, "data/x"), tmp_path / "out", cache=archive.parent)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_no_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    archive = sdist(tmp_path / "cache" / "boxed-1.0.tar.gz", a="A")
    with tarfile.open(archive, "w:gz") as tar:
        target = tarfile.TarInfo("boxed-1.0/a")
        target.size = 1
        tar.addfile(target, io.BytesIO(b"A"))
        link = tarfile.TarInfo("boxed-1.0/b")
        link.type, link.linkname = kind, "boxed-1.0/a"
        tar.addfile(link)
    with pytest.raises(SourceError, match="is no regular file"):
        fetch(of_archive(archive, "b"), tmp_path / "out", cache=archive.parent)


def test_a_member_that_escapes_is_refused(tmp_path: Path) -> None:
    archive = sdist(tmp_path / "cache" / "boxed-1.0.tar.gz", **{"../../a": "A"})
    with pytest.raises(SourceError, match="leads outside"):
        fetch(of_archive(archive, "../../a"), tmp_path / "out", cache=archive.parent)


def test_an_archive_that_is_none_is_named(tmp_path: Path) -> None:
    archive = write(tmp_path / "cache", **{"boxed-1.0.tar.gz": "text"}) / "boxed-1.0.tar.gz"
    with pytest.raises(SourceError, match=r"boxed-1.0.tar.gz: "):
        fetch(of_archive(archive), tmp_path / "out", cache=archive.parent)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes its archives from, with one real source distribution."""
    setup = "from setuptools import setup\nsetup(name='boxed', version='1.0')\n"
    # An isolated build would look for setuptools, which this index lacks.
    build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return sdist(
        tmp_path / "index" / "boxed-1.0.tar.gz",
        **{
            "pyproject.toml": build,
            "setup.py": setup,
            "PKG-INFO": "Name: boxed\nVersion: 1.0\n",
            "data/a": "A",
        },
    )


def test_pip_brings_the_archive_into_the_cache(index: Path, tmp_path: Path) -> None:
    cache = write(tmp_path / "cache", **{"boxed-1.0.tar.gz": "a broken download"})
    assert fetch(of_archive(index), tmp_path / "out", cache=cache) == {"a": sha("A")}
    assert file_sha256(cache / index.name) == file_sha256(index)


def test_what_pip_says_is_kept(index: Path, tmp_path: Path) -> None:
    source = Source(uri="sdist:boxed==1.0/data/a", sha256={"boxed-1.0.tar.gz": WRONG})
    with pytest.raises(DownloadError, match=r"(?s)boxed==1.0: pip .*DO NOT MATCH THE HASHES"):
        fetch(source, tmp_path / "out", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


# Hubs


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A snapshot as the hub library keeps it: links to blobs beside it. Records the calls."""
    repository = write(tmp_path / "hub", blobs__1="A", blobs__2="B")
    snapshot = repository / "snapshots" / REVISION
    (snapshot / "sub").mkdir(parents=True)
    (snapshot / "a").symlink_to("../../blobs/1")
    (snapshot / "sub" / "b").symlink_to("../../../blobs/2")
    calls: list[dict[str, Any]] = []

    def download(repository: str, **options: Any) -> str:
        calls.append({"repository": repository, **options})
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return calls


def test_a_hub_source_brings_the_files_asked_for_alone(
    hub: list[dict[str, Any]], tmp_path: Path
) -> None:
    source = Source(uri="hub:owner/name", revision=REVISION, sha256={"a": sha("A")})
    assert fetch(source, tmp_path / "out", ("sub/b",)) == {"sub/b": sha("B")}
    assert contents(tmp_path / "out") == {"sub/b": "B"}
    assert hub == [
        {
            "repository": "owner/name",
            "repo_type": "dataset",
            "revision": REVISION,
            "allow_patterns": ["sub/b"],
            "ignore_patterns": None,
        }
    ]


def test_a_hub_source_brings_the_files_it_lists_or_all(
    hub: list[dict[str, Any]], tmp_path: Path
) -> None:
    listed = Source(uri="hub:owner/name", revision=REVISION, sha256={"a": sha("A")})
    assert fetch(listed, tmp_path / "a", repo_type="model") == {"a": sha("A")}
    bare = Source(uri="hub:owner/name", revision=REVISION)
    assert set(fetch(bare, tmp_path / "b")) == {"a", "sub/b"}
    assert [call["allow_patterns"] for call in hub] == [["a"], None]
    assert [call["repo_type"] for call in hub] == ["model", "dataset"]


@pytest.mark.usefixtures("hub")
def test_hub_files_are_checked(tmp_path: Path) -> None:
    source = Source(uri="hub:owner/name", revision=REVISION, sha256={"a": WRONG})
    with pytest.raises(SourceError, match="file a has sha256"):
        fetch(source, tmp_path / "out")
    with pytest.raises(SourceError, match="file x not found in hub:owner/name"):
        fetch(source, tmp_path / "out", ("x",))


def test_a_hub_that_cannot_be_reached_is_a_download_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise RuntimeError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(DownloadError, match=f"hub:owner/name at {REVISION}: no route"):
        fetch(Source(uri="hub:owner/name", revision=REVISION), tmp_path / "out")
