"""Debian packages from elsewhere: nothing of them runs, nothing leads out, no key is given away."""

import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from finegrid.prepare.sources import SourceError, fetch
from finegrid.records.identity import file_sha256
from finegrid.records.specification import Source
from tests.prepare.debian_packages import apt_get, member, package, tar

CANARIES = ("WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD", "PYTHONPATH")
KINDS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)


def trap(folder: Path) -> str:
    """A script that dpkg would run when it installs the package."""
    return f"#!/bin/sh\ntouch {folder / 'canary'}\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A package with one good file, every way out, and a script that leaves a trace."""
    (outside := tmp_path / "outside").mkdir()
    names = ("../evil", "./usr/../../evil", f"{outside}/evil", ".//evil")
    data = tar(
        member("./usr/good", "good"),
        *(member(name, "evil") for name in names),
        *(member(f"./usr/special{at}", "", kind, str(outside)) for at, kind in enumerate(KINDS)),
        member("./usr/special0/evil", "evil"),
    )
    return package(tmp_path / "cache" / "boxed_1.0_all.deb", data, script=trap(tmp_path))


def of(archive: Path, inner: str) -> Source:
    return Source(uri=f"deb:boxed==1.0/{inner}", sha256={archive.name: file_sha256(archive)})


def test_a_good_file_comes_alone_and_no_script_runs(archive: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    fetch(of(archive, "usr/good"), tmp_path / "out", cache=archive.parent)
    assert {*tmp_path.rglob("*")} - before == {tmp_path / "out", tmp_path / "out" / "good"}
    assert (tmp_path / "out" / "good").read_text() == "good"


@pytest.mark.parametrize("inner", ["usr/special0/evil", "/evil"])
def test_an_odd_path_in_a_package_follows_no_link(
    archive: Path, tmp_path: Path, inner: str
) -> None:
    fetch(of(archive, inner), tmp_path / "out", cache=archive.parent)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evil"]
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize(
    "inner",
    ["../evil", "usr/../../evil", "evil", "..", ".", "usr/", "usr/good/..", "usr/good\0"]
    + [f"usr/special{at}" for at in range(len(KINDS))],
)
def test_what_leads_out_of_a_package_is_refused(archive: Path, tmp_path: Path, inner: str) -> None:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SourceError):
        fetch(of(archive, inner), tmp_path / "out", cache=archive.parent)
    assert {*tmp_path.rglob("*")} == before


def test_apt_get_gets_no_key_and_its_arguments_go_through_no_shell(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = apt_get(tmp_path / "bin", f"cp {archive} .")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("APT_CONFIG", "kept")
    for name in CANARIES:
        monkeypatch.setenv(name, f"secret of {name}")
    fetch(of(archive, "usr/good"), tmp_path / "out", cache=tmp_path / "empty")
    assert seen.read_text().splitlines()[:3] == ["download", "--quiet", "boxed=1.0"]
    assert "kept" in seen.read_text()
    assert not re.search("|".join([*CANARIES, "secret"]), seen.read_text())


def test_the_script_of_these_tests_leaves_a_trace(tmp_path: Path) -> None:
    """Else that it has left none would say nothing."""
    subprocess.run(["/bin/sh", "-c", trap(tmp_path)], check=True)
    assert (tmp_path / "canary").exists()
