"""Sources: bring files from a package, an archive, a hub or a path, and check what they hold."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from glob import escape
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from finegrid.prepare import hub
from finegrid.prepare.archives import DownloadError as DownloadError
from finegrid.prepare.archives import SourceError as SourceError
from finegrid.prepare.archives import check_name, unpack
from finegrid.prepare.downloads import listed_archive
from finegrid.prepare.hub import RepositoryType
from finegrid.records.identity import (
    file_sha256,
    files_below,
    folder_sha256,
    shown_files,
    text_files,
    tree_sha256,
)
from finegrid.records.specification import Source
from finegrid.records.write import atomic_path

DOWNLOADS = Path("results/prepared/downloads")
_ARCHIVE = r"(?P<project>[A-Za-z0-9][\w.-]*)==(?P<version>[\w.!+]+)"
_DEBIAN = r"(?P<project>[a-z0-9][a-z0-9+.-]+)==(?P<version>([0-9]+:)?[0-9][A-Za-z0-9.+~-]*)"
_IN_ARCHIVE = "<project>==<version>/<path>"
_FORMS = {
    "hub": (r"(?P<repository>[\w.-]+/[\w.-]+)", "<owner>/<name>"),
    "package": (r"(?P<package>[A-Za-z_]\w*)/(?P<path>.+)", "<import name>/<path>"),
    "sdist": (f"{_ARCHIVE}/(?P<path>.+)", _IN_ARCHIVE),
    "wheel": (f"{_ARCHIVE}(/(?P<path>.+))?", f"{_IN_ARCHIVE}, or without /<path>"),
    "deb": (f"{_DEBIAN}/(?P<path>.+)", "<package>==<version>/<path>"),
    "path": (r"(?P<path>.+)", "<path>"),
}
Hash = Callable[[Path], str]
_Parts = dict[str, str]
_CODE = (".py", ".pyc", ".pyd", ".so", ".sh", ".ipynb")
_PICKLES = (".bin", ".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
REFUSED = (*_CODE, *_PICKLES)
"""What the names of files end in that no source brings."""
UNWANTED = tuple(f"*{ending}" for ending in REFUSED)
"""Patterns of their names."""
_Names = tuple[str, ...] | None
TREE = "**/"
"""The name that stands for all files below a source, as one: hidden ones are none of them, and code
and pickles stay where they are. `<folder>/**/` is all below one of its folders."""


def fetch(
    source: Source,
    destination: Path,
    files: tuple[str, ...] | None = None,
    *,
    cache: Path = DOWNLOADS,
    repo_type: RepositoryType = "dataset",
) -> dict[str, str]:
    """Copy a source's files into `destination`; returns relative file name -> sha256.

    `files` says which are needed. Without it come those that `source.sha256` lists, and where it
    lists none, all. A source that is one file goes by its base name. `cache` keeps downloaded
    archives. Raises SourceError naming the file where one is missing or has another hash than
    listed (nothing is written under that name then) or holds code or a pickle, DownloadError and
    OSError.
    """
    scheme, parts = _parse(source.uri)
    wanted = _wanted(source, parts, files)
    with tempfile.TemporaryDirectory() as scratch:
        if scheme == "hub":
            found = _from_hub(source, parts, wanted, repo_type)
        elif "project" in parts:
            found = _from_archive(source, parts, cache, Path(scratch))
        else:
            found = _from_disk(parts, wanted)
        chosen = _chosen(source, found, wanted)
        _check_kinds(chosen, source.uri)
        return {
            name: _bringer(name)(path, _target(destination, name), source.sha256.get(name))
            for name, path in chosen.items()
        }


def problems(
    source: Source, files: tuple[str, ...] | None = None, hashed: Hash = file_sha256
) -> list[str]:
    """What is wrong with a source as far as this machine alone can tell; empty if nothing is.

    Checks the form, that local files exist, those of `files` and those that are listed, and that
    they have the hashes listed for them, by `hashed`.
    """
    try:
        _, parts = _parse(source.uri)
        listed = _wanted(source, parts, None)
        if not is_local(source.uri):
            return []
        wanted = tuple(sorted({*(listed or ()), *(files or ())})) or None
        found = _chosen(source, _from_disk(parts, wanted), wanted)
        # Which of a folder's other files are fetched, if any, the task or the model decides.
        _check_kinds(wanted or (), source.uri)
        hashes = {
            name: _folder_hash(name, found[name], hashed)
            if is_folder(name)
            else hashed(found[name])
            for name in source.sha256
            if name in found
        }
    except SourceError as error:
        return [str(error)]
    except OSError as error:
        return [unreadable(source, error)]
    checked = (_mismatch(name, source.sha256[name], hashes[name]) for name in hashes)
    return [problem for problem in checked if problem]


def is_local(uri: str) -> bool:
    """Whether the source lies on this machine, where nothing but its bytes pins it."""
    return uri.startswith(("package:", "path:"))


def is_whole(uri: str) -> bool:
    """Whether a source is an archive itself, of which no file is taken. Raises SourceError."""
    _, parts = _parse(uri)
    return "project" in parts and "path" not in parts


def local_files(source: Source, files: tuple[str, ...] | None = None) -> dict[str, Path]:
    """Relative name -> path of the files that a source has on this machine; empty elsewhere.

    These are `files`, or those that the source lists, or all. Raises SourceError and OSError.
    """
    _, parts = _parse(source.uri)
    return _from_disk(parts, _wanted(source, parts, files)) if is_local(source.uri) else {}


def unreadable(source: Source, error: OSError) -> str:
    """The sentence on a file of a source that the system does not let us read."""
    return f"{source.uri}: {error.filename or source.uri} cannot be read: {error.strerror}"


def _parse(uri: str) -> tuple[str, _Parts]:
    """Scheme and named parts of a URI; a wheel that is taken whole has no path."""
    scheme, _, rest = uri.partition(":")
    if scheme not in _FORMS:
        raise SourceError(f"{uri}: unknown kind of source, allowed: {', '.join(_FORMS)}")
    pattern, form = _FORMS[scheme]
    match = re.fullmatch(pattern, rest)
    if match is None:
        raise SourceError(f"{uri}: expected the form {scheme}:{form}")
    return scheme, {name: part for name, part in match.groupdict().items() if part is not None}


def _wanted(source: Source, parts: _Parts, files: tuple[str, ...] | None) -> _Names:
    """The names to bring, or None for all."""
    listed = _of_archive(source, parts) if "project" in parts else set(source.sha256)
    names = tuple(sorted(listed)) or None if files is None else files
    for name in names or ():
        check_name(name)
    return names


def _of_archive(source: Source, parts: _Parts) -> set[str]:
    """The names listed of what an archive brings: of a wheel that is taken whole, its own."""
    archive = listed_archive(source.uri, parts, source.sha256).name
    beside = set(source.sha256) - {archive}
    if "path" in parts:
        return beside
    if beside:
        others = ", ".join(sorted(beside))
        raise SourceError(
            f"{source.uri}: sha256 lists {others}; allowed: the wheel alone, {archive}"
        )
    return {archive}


def _check_kinds(names: Iterable[str], uri: str) -> None:
    """Refuse files that run, or may run, when something reads them."""
    for name, (kind, suffixes) in product(names, (("code", _CODE), ("a pickle", _PICKLES))):
        if name.lower().endswith(suffixes):
            raise SourceError(
                f"file {name} of {uri} is {kind}, which no source may bring; allowed: data alone, "
                "by a list of the files to take in sha256"
            )


def _chosen(source: Source, found: dict[str, Path], wanted: _Names) -> dict[str, Path]:
    """The wanted ones of the files found. Raises SourceError for one that is missing."""
    names = sorted(found) if wanted is None else wanted
    for name in names:
        path = found.get(name)
        is_there = path is not None and (path.is_dir() if is_folder(name) else path.is_file())
        if not is_there:
            leads = f": it is a link to {path.readlink()}" if path and path.is_symlink() else ""
            raise SourceError(f"file {name} not found in {source.uri}{leads}")
    if not names:
        raise SourceError(f"{source.uri} holds no files")
    return {name: found[name] for name in names}


def _mismatch(name: str, expected: str | None, found: str) -> str | None:
    if expected is None or expected == found:
        return None
    return (
        f"file {name} has sha256 {found}, expected {expected}: "
        "its content has changed since that hash was taken"
    )


def _bring(path: Path, target: Path, expected: str | None) -> str:
    """Copy one file and return its hash; what is hashed is the copy, so nothing slips between."""
    with atomic_path(target) as temporary:
        shutil.copyfile(path, temporary)
        found = file_sha256(temporary)
        problem = _mismatch(target.name, expected, found)
        if problem:
            raise SourceError(problem)
    return found


def is_folder(name: str) -> bool:
    """Whether a name is that of a folder, which is taken whole: of texts, or of all files."""
    return name.endswith("/")


def is_tree(name: str) -> bool:
    """Whether a name stands for all files below a source, or below a folder of it."""
    return name.endswith(TREE)


def _bringer(name: str) -> Callable[[Path, Path, str | None], str]:
    if is_tree(name):
        return _bring_tree
    return _bring_texts if is_folder(name) else _bring


def _target(destination: Path, name: str) -> Path:
    return destination if is_tree(name) else destination / name


def _folder_hash(name: str, folder: Path, hashed: Hash) -> str:
    if is_tree(name):
        return tree_sha256(folder, tree_files(folder), hashed)
    return _texts_sha256(folder)


def _texts_sha256(folder: Path) -> str:
    return folder_sha256(text_files(folder))


def _bring_texts(folder: Path, target: Path, expected: str | None) -> str:
    """Copy the texts of a folder and return the hash of what they hold together."""
    target.mkdir(parents=True, exist_ok=True)
    for path in text_files(folder):
        shutil.copyfile(path, target / path.name)
    found = _texts_sha256(target)
    if problem := _mismatch(f"{target.name}/", expected, found):
        shutil.rmtree(target)
        raise SourceError(problem)
    return found


def _bring_tree(folder: Path, target: Path, expected: str | None) -> str:
    """Copy the files below a folder and return the hash of what they hold together."""
    names = tree_files(folder)
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target / name)
    found = tree_sha256(target, names)
    if problem := _mismatch(TREE, expected, found):
        raise SourceError(problem)
    return found


def tree_files(folder: Path) -> list[str]:
    """Names of the files below a folder that are taken of it as a whole: no code, no pickles."""
    return [name for name in shown_files(folder) if not name.lower().endswith(REFUSED)]


def _inside(path: Path, root: Path) -> Path:
    """The path with links followed, as long as it stays below `root`."""
    resolved = Path(os.path.realpath(path))
    if not resolved.is_relative_to(os.path.realpath(root)):
        raise SourceError(f"file {path.name} leads outside of {root.name}")
    return resolved


def _listing(folder: Path, wanted: _Names, root: Path | None = None) -> dict[str, Path]:
    """Name below the folder -> file. With `root`, links are followed below that alone."""
    names = wanted
    if names is None:
        names = tuple(path.relative_to(folder).as_posix() for path in files_below(folder))
    paths = {name: folder / name.removesuffix(TREE) for name in names}
    return {name: _inside(path, root) for name, path in paths.items()} if root else paths


def _from_disk(parts: _Parts, wanted: _Names) -> dict[str, Path]:
    """Files of an installed package or of a path on this machine.

    What lies at a path is the user's own, and so are the links in it, wherever they lead.
    """
    path = _in_package(parts) if "package" in parts else _expanded(parts["path"])
    if not path.exists():
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise SourceError(f"path {path} does not exist{where}")
    if path.is_file():
        return {path.name: path}
    return _listing(path, wanted, path if "package" in parts else None)


def _expanded(path: str) -> Path:
    """A path as the shell reads it: a `~` at its beginning is the user's home."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise SourceError(f"path {path}: it is not known what ~ is; set HOME") from error


def _in_package(parts: _Parts) -> Path:
    """Where a package keeps a file or folder; the package is not imported."""
    package, name = parts["package"], parts["path"]
    spec = find_spec(package)
    if spec is None:
        raise SourceError(f"package {package} is not installed")
    for location in map(Path, spec.submodule_search_locations or ()):
        path = location / name
        if path.exists():
            _inside(path, location)
            return path
    raise SourceError(f"package file {name} not found in installed package {package}")


def _from_hub(
    source: Source, parts: _Parts, wanted: _Names, repo_type: RepositoryType
) -> dict[str, Path]:
    """Files of a hub repository at the source's revision, in the hub library's own cache."""
    try:
        unwanted = UNWANTED if any(map(is_tree, wanted or ())) else ()
        folder = hub.snapshot(
            parts["repository"], repo_type, str(source.revision), patterns(wanted), unwanted
        )
    except hub.HubError as error:
        raise DownloadError(f"{source.uri} at {source.revision}: {error}") from error
    # A snapshot links to `blobs` beside it, so the repository's whole cache folder is its ground.
    return _listing(folder, wanted, folder.parent.parent)


def patterns(wanted: _Names) -> _Names:
    """The patterns of names that the Hub's library takes: a tree is all below a folder."""
    if wanted is None:
        return None
    return tuple(
        f"{escape(name.removesuffix(TREE))}*" if is_tree(name) else name for name in wanted
    )


def _from_archive(source: Source, parts: _Parts, cache: Path, scratch: Path) -> dict[str, Path]:
    """The file or the folder that the URI names, read out of the archive into `scratch`.

    Without a path it is the archive, as it lies in the cache: nothing is taken out of it.
    """
    wanted = listed_archive(source.uri, parts, source.sha256)
    archive = cache / wanted.name
    if not (archive.is_file() and file_sha256(archive) == wanted.sha256):
        (brought := scratch / "brought").mkdir()
        _bring(wanted.download(brought, cache), archive, wanted.sha256)
    return unpack(archive, parts["path"], scratch) if "path" in parts else {wanted.name: archive}
