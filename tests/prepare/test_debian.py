"""Files out of Debian packages."""

import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from finegrid.prepare.sources import DownloadError, SourceError, fetch, problems
from finegrid.records.identity import file_sha256
from finegrid.records.specification import Source
from tests.prepare.debian_packages import PACK, apt_get, ar, data_of, member, package, tar
from tests.prepare.test_sources import WRONG, contents, sha

DEB = "boxed_1.0-1_all.deb"
DATA = data_of(usr__share__boxed__a="A", usr__share__boxed__sub__b="B", usr__bin__x="X")


def of_deb(
    archive: Path, inner: str = "usr/share/boxed/a", version: str = "1.0-1", **hashes: str
) -> Source:
    listed = {archive.name: file_sha256(archive)} | hashes
    return Source(uri=f"deb:boxed=={version}/{inner}", sha256=listed)


@pytest.mark.parametrize("ending", PACK)
def test_a_file_and_a_folder_come_out_of_a_package(tmp_path: Path, ending: str) -> None:
    archive = package(tmp_path / "cache" / DEB, DATA, ending)
    source = of_deb(archive, a=sha("A"))
    assert problems(source) == []
    assert fetch(source, tmp_path / "one", cache=archive.parent) == {"a": sha("A")}
    assert contents(tmp_path / "one") == {"a": "A"}
    folder = of_deb(archive, "usr/share/boxed/")
    assert set(fetch(folder, tmp_path / "all", cache=archive.parent)) == {"a", "sub/b"}
    assert contents(tmp_path / "all") == {"a": "A", "sub/b": "B"}


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not on this machine")
@pytest.mark.parametrize("packing", ["xz", "gzip", "none"])
def test_a_package_that_dpkg_has_built_is_read(tmp_path: Path, packing: str) -> None:
    made = tmp_path / "boxed"
    texts = made / "usr" / "share" / "boxed"
    texts.mkdir(parents=True)
    (texts / "a").write_text("A")
    (texts / ("long-" * 30)).write_text("L")
    (made / "DEBIAN").mkdir()
    control = "Package: boxed\nVersion: 1.0-1\nArchitecture: all\nMaintainer: a <a@b>\n"
    (made / "DEBIAN" / "control").write_text(f"{control}Description: boxed\n")
    archive = tmp_path / "cache" / DEB
    archive.parent.mkdir()
    build = ["dpkg-deb", "--root-owner-group", f"-Z{packing}", "--build", str(made), str(archive)]
    subprocess.run(build, check=True, capture_output=True)
    fetch(of_deb(archive, "usr/share/boxed/"), tmp_path / "out", cache=archive.parent)
    assert contents(tmp_path / "out") == {"a": "A", "long-" * 30: "L"}


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ("usr/share/boxed/x", f"file usr/share/boxed/x not found in {DEB}"),
        ("usr/share/x/", f"folder usr/share/x/ not found in {DEB}"),
        ("usr/share/boxed/link", f"file usr/share/boxed/link in {DEB} is no regular file"),
        ("usr/share/boxed/run.py", "is code, which no source may bring"),
        ("postinst", f"file postinst not found in {DEB}"),
    ],
)
def test_what_a_package_does_not_give_is_named(tmp_path: Path, inner: str, message: str) -> None:
    link = member("./usr/share/boxed/link", kind=tarfile.SYMTYPE, link="/etc/hostname")
    data = tar(link, member("./usr/share/boxed/run.py", "1"))
    archive = package(tmp_path / "cache" / DEB, data)
    with pytest.raises(SourceError, match=re.escape(message)):
        fetch(of_deb(archive, inner), tmp_path / "out", cache=archive.parent)
    assert not (tmp_path / "out").exists()


def test_another_hash_of_the_file_in_a_package_is_refused(tmp_path: Path) -> None:
    archive = package(tmp_path / "cache" / DEB, DATA)
    with pytest.raises(SourceError, match=f"file a has sha256 {sha('A')}, expected {WRONG}"):
        fetch(of_deb(archive, a=WRONG), tmp_path / "out", cache=archive.parent)


# Damaged packages


BINARY = ("debian-binary", b"2.0\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "it is no Debian package"),
        (ar([("data.tar", DATA)]), "it is no Debian package"),
        (ar([("debian-binary", b"3.0\n"), ("data.tar", DATA)]), "its format is 3.0; allowed: 2"),
        (ar([BINARY]), "it holds no data.tar"),
        (ar([BINARY, ("data.tar.zst", DATA)]), "its data are packed as data.tar.zst; allowed: "),
        (ar([BINARY, ("data.tar", DATA)])[:-20], "it is cut short"),
        (ar([BINARY, ("data.tar", DATA)])[:90], "it is cut short"),
        (ar([BINARY, ("data.tar", DATA)]).replace(b"`\n", b"xx", 2), "it is damaged"),
        (ar([BINARY, ("data.tar", DATA)]).replace(b"4      ", b"-4     "), "it is damaged"),
        (ar([BINARY, ("data.tar", b"x" * 600)]), ""),
        *((ar([BINARY, (f"data.tar{one}", b"x" * 600)]), "") for one in PACK),
        *((ar([BINARY, (f"data.tar{one}", PACK[one](DATA)[:99])]), "") for one in (".xz", ".gz")),
        (ar([BINARY, ("data.tar.bz2", PACK[".bz2"](DATA)[:60] + b"x" * 90)]), ""),
    ],
)
def test_a_damaged_package_is_an_error_with_its_name(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (archive := tmp_path / DEB).write_bytes(content)
    with pytest.raises(SourceError, match=re.escape(f"{DEB}: {message}")):
        fetch(of_deb(archive), tmp_path / "out", cache=tmp_path)


# How a package is named


@pytest.mark.parametrize(
    "uri",
    [
        "deb:boxed/usr/a",
        "deb:boxed=1.0/usr/a",
        "deb:boxed==1.0",
        "deb:Boxed==1.0/usr/a",
        "deb:-o==1.0/usr/a",
        "deb:boxed==-o/usr/a",
        "deb:boxed==1.0;x/usr/a",
    ],
)
def test_a_package_that_is_badly_named_is_refused(uri: str) -> None:
    [problem] = problems(Source(uri=uri, sha256={DEB: WRONG}))
    assert problem == f"{uri}: expected the form deb:<package>==<version>/<path>"


@pytest.mark.parametrize(
    "listed", [{}, {"a": WRONG}, {"boxed_1.0_all.deb": WRONG}, {"x_1.0-1_all.deb": WRONG}]
)
def test_the_package_itself_has_to_be_listed(listed: dict[str, str]) -> None:
    uri = "deb:boxed==1.0-1/usr/a"
    [problem] = problems(Source(uri=uri, sha256=listed))
    expected = "boxed_1.0-1_<architecture>.deb"
    assert problem == f"{uri}: sha256 must list the archive itself, {expected}"


def test_the_epoch_of_a_version_is_not_in_the_file_s_name(tmp_path: Path) -> None:
    archive = package(tmp_path / "boxed_0.18+dfsg-19~x_all.deb", DATA)
    source = of_deb(archive, version="1:0.18+dfsg-19~x")
    assert problems(source) == []
    assert fetch(source, tmp_path / "out", cache=tmp_path) == {"a": sha("A")}


# What apt-get brings


@pytest.mark.parametrize(
    ("architecture", "asked"), [("all", "boxed=1:1.0-1"), ("arm64", "boxed:arm64=1:1.0-1")]
)
def test_apt_get_brings_the_package_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, asked: str
) -> None:
    archive = package(tmp_path / f"boxed_1.0-1_{architecture}.deb", DATA)
    seen = apt_get(tmp_path / "bin", f"cp {archive} boxed_1%3a1.0-1_{architecture}.deb")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    source, cache = of_deb(archive, version="1:1.0-1"), tmp_path / "cache"
    assert fetch(source, tmp_path / "out", cache=cache) == {"a": sha("A")}
    assert file_sha256(cache / archive.name) == file_sha256(archive)
    assert seen.read_text().splitlines()[:3] == ["download", "--quiet", asked]
    seen.unlink()
    fetch(source, tmp_path / "again", cache=cache)
    assert not seen.exists()


def test_a_package_with_another_hash_is_refused_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no package at all: to open it would be another error."""
    (tmp_path / DEB).write_bytes(b"text")
    apt_get(tmp_path / "bin", f"cp {tmp_path / DEB} {DEB}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    source = Source(uri="deb:boxed==1.0-1/usr/a", sha256={DEB: WRONG})
    with pytest.raises(SourceError, match=rf"file {DEB} has sha256 \w+, expected {WRONG}"):
        fetch(source, tmp_path / "out", cache=tmp_path / "cache")
    assert contents(tmp_path / "cache") == {}


NOT_FOUND = "echo 'W: noise' >&2; echo \"E: Version '1.0-1' for 'boxed' was not found\" >&2"


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (
            f"{NOT_FOUND}; exit 100",
            "apt-get cannot bring it: E: Version '1.0-1' for 'boxed' was not found; "
            "`apt-get update` may be needed",
        ),
        ("exit 0", "apt-get cannot bring it: it says no more; `apt-get update` may be needed"),
        (None, "apt-get, which brings it, is not on this machine"),
    ],
)
def test_a_package_that_does_not_come_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str | None, reason: str
) -> None:
    (tmp_path / "bin").mkdir()
    if then:
        apt_get(tmp_path / "bin" / "apt", then)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin' / 'apt'}:{tmp_path / 'bin'}")
    source = Source(uri="deb:boxed==1.0-1/usr/a", sha256={DEB: WRONG})
    allowed = f"allowed: the file {DEB} with sha256 {WRONG} in {tmp_path / 'cache'}"
    with pytest.raises(DownloadError) as error:
        fetch(source, tmp_path / "out", cache=tmp_path / "cache")
    assert str(error.value) == f"boxed==1.0-1: {reason}; {allowed}"
