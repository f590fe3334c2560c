"""Debian packages made by hand, as deb(5) says, and an apt-get of these tests' own."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}
"""What the name of a package's data ends in -> what packs them so."""
APT_GET = "#!/bin/sh\nprintf '%s\\n' \"$@\" > {seen}\nexport -p >> {seen}\n{then}\n"


def member(name: str, text: str = "", kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """A tar member's own blocks, without the end of an archive."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(text.encode()), kind, link
    padding = b"\0" * (-info.size % tarfile.BLOCKSIZE)
    return info.tobuf(tarfile.GNU_FORMAT) + text.encode() + padding


def tar(*members: bytes) -> bytes:
    return b"".join(members) + b"\0" * 2 * tarfile.BLOCKSIZE


def data_of(**texts: str) -> bytes:
    """A package's data: `__` in a name stands for a slash."""
    files = (member(f"./{name.replace('__', '/')}", text) for name, text in texts.items())
    return tar(member("./", kind=tarfile.DIRTYPE), *files)


def ar(members: Iterable[tuple[str, bytes]]) -> bytes:
    """An `ar` file: a header of 60 bytes before each member, at an even place."""
    out = io.BytesIO()
    out.write(b"!<arch>\n")
    for name, content in members:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        out.write(header.encode() + content + b"\n" * (len(content) % 2))
    return out.getvalue()


def package(path: Path, data: bytes, ending: str = ".xz", script: str = "") -> Path:
    """A package with these data, and a script that dpkg would run when it installs it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    control = tar(member("./control", "Package: boxed\n"), member("./postinst", script))
    contents = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", lzma.compress(control)),
        (f"data.tar{ending}", PACK[ending](data) if ending in PACK else data),
    ]
    path.write_bytes(ar(contents))
    return path


def apt_get(folder: Path, then: str) -> Path:
    """A folder with an apt-get, which notes its arguments and environment; returns its notes."""
    folder.mkdir(parents=True)
    seen = folder / "seen"
    program = folder / "apt-get"
    program.write_text(APT_GET.format(seen=seen, then=then))
    program.chmod(0o755)
    return seen
