"""Making the lock of a benchmark: each `hub:` and `path:` is resolved once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from finegrid.models.padding import TOKENIZER_FILE
from finegrid.models.processing import FILES as PROCESSOR_FILES
from finegrid.models.processing import PARTS, ProcessorError, processor_settings
from finegrid.planning import own_files
from finegrid.planning.layouts import Layout
from finegrid.planning.lock import (
    HUB,
    Content,
    Lock,
    LockedModel,
    LockedTask,
    hub_files,
    model_uri,
)
from finegrid.planning.own_folders import holds_files
from finegrid.planning.own_paths import Paths, layout_of
from finegrid.planning.pinning import local_source
from finegrid.planning.schema import TaskEntry
from finegrid.prepare import hub, sources
from finegrid.prepare.examined import Examiner
from finegrid.prepare.model import BESIDE, CONFIGURATION_FILE
from finegrid.prepare.packed import is_packed
from finegrid.prepare.sources import (
    TREE,
    UNWANTED,
    Hash,
    SourceError,
    patterns,
    tree_files,
)
from finegrid.problems import ConfigurationError, Location, Problems, explain, refused
from finegrid.records.identity import content_hash, file_sha256, tree_sha256
from finegrid.records.registry import UnknownNameError
from finegrid.records.specification import Source
from finegrid.records.weights import INDEX_FILE, WEIGHTS_FILE, WeightsError, shards
from tasks.file_kinds import needs_of
from tasks.file_options import SplitFiles
from tasks.table_files import TableError

_MODEL = r"hub:(?P<repository>[\w.-]+/[\w.-]+)"
_WHOLE = (
    *(".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"),
    *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif", ".au"),
)
"""What the names of pictures and recordings end in."""
_DATA = rf"{_MODEL}(?:/(?P<group>.+))?"
T = TypeVar("T")


def make_lock(
    content: Content,
    before: Lock,
    hashed: Hash = file_sha256,
    say: Callable[[str], None] = lambda line: None,
) -> Lock:
    """The lock of a benchmark's content, each line of which is told to `say`.

    What `before` holds of the Hub stays where the benchmark still says the same. Raises
    ConfigurationError with all that cannot be locked.
    """
    resolver = _Resolver(before, Examiner(hashed=hashed), say, Problems())
    tasks = {
        name: locked
        for name, entry in _entries(content, "tasks").items()
        if (locked := resolver.resolved(resolver.task, name, entry)) is not None
    }
    models = {
        name: found
        for name, entry in _entries(content, "models").items()
        if (found := resolver.resolved(resolver.model, name, entry)) is not None
    }
    resolver.problems.check()
    return Lock(tasks=tasks, models=models)


def _entries(content: Content, section: str) -> Mapping[str, Any]:
    entries = content.get(section)
    return entries if isinstance(entries, Mapping) else {}


class _UnresolvedError(Exception):
    """An entry that cannot be locked: where it is wrong, and why."""

    def __init__(self, at: Location, problem: str) -> None:
        super().__init__(problem)
        self.at, self.problem = at, problem


@dataclass(frozen=True)
class _Resolver:
    before: Lock
    examiner: Examiner
    say: Callable[[str], None]
    problems: Problems

    def resolved(self, resolve: Callable[[str, Any], T | None], name: str, entry: Any) -> T | None:
        """What an entry is locked to; None where nothing is to be locked, or a problem noted."""
        try:
            return resolve(name, entry)
        except _UnresolvedError as error:
            self.problems.add(error.at, error.problem)
        except ConfigurationError as error:
            self.problems.lines += error.problems
        return None

    def task(self, name: str, entry: Any) -> LockedTask | None:
        """The files of a task of the user's own, read as a whole."""
        if not isinstance(entry, Mapping) or "files" not in entry:
            return None
        at: Location = ("tasks", name)
        key, old = content_hash(entry), self.before.tasks.get(name)
        data_set = hub_files(entry)
        if data_set is not None and old is not None and old.entry == key:
            locked = old
        else:
            try:
                checked = TaskEntry.model_validate_json(json.dumps(entry))
                of_hub = self._of_hub(checked, data_set, at) if data_set is not None else None
                found = of_hub or own_files.of_files(checked, self.examiner)
            except ValidationError as error:
                lines = explain(error, TaskEntry.model_json_schema(), at)
                raise ConfigurationError(lines) from error
            except TableError as error:
                raise _UnresolvedError((*at, *error.key), error.problem) from error
            locked = _locked_task(key, found)
        self.say(_task_line(name, locked))
        return locked

    def _of_hub(self, entry: TaskEntry, data_set: str, at: Location) -> own_files.Found:
        """A task whose files are a data set of the Hub, which are fetched and read."""
        try:
            if needs_of(str(entry.kind)).files and (folder := fetched_folder(data_set)):
                return own_files.of_folder(entry, folder.path, folder.source, self.examiner)
            data = fetched_data(entry, data_set)
        except UnknownNameError as error:
            raise _UnresolvedError((*at, "kind"), str(error)) from error
        except (hub.HubError, SourceError) as error:
            raise _UnresolvedError((*at, "files"), f"{data_set}: {error}") from error
        survey = own_files.surveyed(entry, data.paths, self.examiner)
        made = own_files.as_registered(entry, data.source, SplitFiles(**data.layout), survey)
        return own_files.Found(made, survey.counts)

    def model(self, name: str, entry: Any) -> LockedModel | None:
        """The files of a checkpoint, and the configuration of one of the Hub."""
        uri, at = model_uri(entry), ("models", name)
        if uri is None or not uri.startswith((HUB, "path:", "package:")):
            return None
        old = self.before.models.get(name)
        if not uri.startswith(HUB):
            locked = LockedModel(uri=uri, source=self._local(uri, at))
        elif old is not None and old.uri == uri:
            locked = old
        else:
            locked = self._checkpoint(uri, at)
        self.say(_model_line(name, locked))
        return locked

    def _local(self, uri: str, at: Location) -> Source:
        try:
            source = Source(uri=uri)
            if problems := sources.problems(source, (CONFIGURATION_FILE,)):
                raise _UnresolvedError(at, problems[0])
            return local_source(source, self.examiner.hashed, at)
        except ValidationError as error:
            raise ConfigurationError(explain(error, Source.model_json_schema(), at)) from error

    def _checkpoint(self, uri: str, at: Location) -> LockedModel:
        match = re.fullmatch(_MODEL, uri)
        if match is None:
            raise _UnresolvedError(at, refused(uri, "allowed: hub:<owner>/<name>"))
        try:
            return LockedModel(uri=uri, **_model_files(match["repository"]))
        except (hub.HubError, SourceError, WeightsError, ValueError) as error:
            raise _UnresolvedError(at, f"{uri}: {error}") from error


class FetchedData(NamedTuple):
    """The files of a data set of the Hub, in the cache of the Hub's library."""

    source: Source
    layout: Layout
    paths: Paths


def fetched_data(entry: TaskEntry, data_set: str) -> FetchedData:
    """The splits of a data set of the Hub as it is now.

    Raises HubError, SourceError, TableError.
    """
    repository, group = _named(data_set)
    listed = hub.listing(repository, "dataset")
    layout = layout_of(entry, list(listed.files), group)
    names = tuple(file for files in layout.values() for file in files)
    folder = hub.snapshot(repository, "dataset", listed.commit, names)
    hashes = {name: _sha256(folder / name, listed.files[name]) for name in names}
    paths = {split: tuple(folder / file for file in files) for split, files in layout.items()}
    uri = f"{HUB}{repository}"
    return FetchedData(Source(uri=uri, revision=listed.commit, sha256=hashes), layout, paths)


class FetchedFolder(NamedTuple):
    """A data set of the Hub that is a folder of whole files, in the cache of the Hub's library."""

    source: Source
    path: Path


def fetched_folder(data_set: str) -> FetchedFolder | None:
    """All files of a data set of the Hub as it is now, or of a folder of it.

    None where they are tables that hold files. Raises HubError, SourceError, TableError.
    """
    repository, group = _named(data_set)
    listed = hub.listing(repository, "dataset")
    below = f"{group.rstrip('/')}/" if group else ""
    hashes = {name: known for name, known in listed.files.items() if name.startswith(below)}
    if any(map(holds_files, hashes)) or not any(map(_is_whole, hashes)):
        return None
    tree = f"{below}{TREE}"
    found = hub.snapshot(repository, "dataset", listed.commit, patterns((tree,)), UNWANTED)
    folder = found / below
    names = tree_files(folder)
    known = {name: _sha256(folder / name, hashes.get(f"{below}{name}")) for name in names}
    digest = tree_sha256(folder, names, lambda path: known[path.relative_to(folder).as_posix()])
    source = Source(uri=f"{HUB}{repository}", revision=listed.commit, sha256={tree: digest})
    return FetchedFolder(source, folder)


def _is_whole(name: str) -> bool:
    """Whether a file may be an example by itself, or an archive of such."""
    return is_packed(name) or name.lower().endswith(_WHOLE)


def _named(data_set: str) -> tuple[str, str | None]:
    """The repository that is named, and a configuration or folder of it. Raises TableError."""
    match = re.fullmatch(_DATA, data_set)
    if match is None:
        allowed = "allowed: hub:<owner>/<name>, or hub:<owner>/<name>/<configuration>"
        raise TableError(("files",), refused(data_set, allowed))
    return match["repository"], match["group"]


def _model_files(repository: str) -> dict[str, Any]:
    """The files of a checkpoint by their hashes, its configuration, and its processor's settings.

    Of large files the Hub tells the hash: they are not fetched. Raises HubError, SourceError,
    WeightsError, ValueError.
    """
    listed = hub.listing(repository, "model")

    def fetched(*names: str) -> Path:
        return hub.snapshot(repository, "model", listed.commit, names)

    if CONFIGURATION_FILE not in listed.files:
        raise SourceError(f"the repository has no {CONFIGURATION_FILE}")
    if not {TOKENIZER_FILE, *PROCESSOR_FILES} & set(listed.files):
        raise SourceError(f"the repository has no {TOKENIZER_FILE}, and no {PROCESSOR_FILES[0]}")
    weights: tuple[str, ...] = (WEIGHTS_FILE,)
    if WEIGHTS_FILE not in listed.files:
        if INDEX_FILE not in listed.files:
            raise SourceError(f"the repository has no {WEIGHTS_FILE}, and no {INDEX_FILE}")
        weights = (INDEX_FILE, *shards(fetched(INDEX_FILE) / INDEX_FILE))
    beside = (name for name in BESIDE if name in listed.files)
    names = (CONFIGURATION_FILE, *beside, *weights)
    if missing := [name for name in names if name not in listed.files]:
        raise SourceError(f"the repository has no {', '.join(missing)}")
    small = tuple(name for name in names if listed.files[name] is None)
    folder = fetched(*small, CONFIGURATION_FILE)
    hashes = {name: listed.files[name] or file_sha256(folder / name) for name in names}
    configuration = json.loads((folder / CONFIGURATION_FILE).read_text(encoding="utf-8"))
    if not isinstance(configuration, dict):
        raise SourceError(f"{CONFIGURATION_FILE} is no JSON object")
    source = Source(uri=f"{HUB}{repository}", revision=listed.commit, sha256=hashes)
    found = {name: folder / name for name in small if name in PROCESSOR_FILES}
    return {"source": source, "configuration": configuration, "processor": _processor(found)}


def _processor(files: Mapping[str, Path]) -> dict[str, Any]:
    """What the files of a repository say of how images or sounds are processed; {} if nothing."""
    for part in PARTS:
        with suppress(ProcessorError):
            return processor_settings(files, part)
    return {}


def _sha256(path: Path, expected: str | None) -> str:
    """The hash of a fetched file. Raises SourceError where the Hub tells another one."""
    if not path.is_file():
        raise SourceError(f"{path.name} was not fetched")
    found = file_sha256(path)
    if expected not in (None, found):
        raise SourceError(f"file {path.name} has sha256 {found}, the Hub says {expected}")
    return found


def _locked_task(key: str, found: own_files.Found) -> LockedTask:
    entry = found.entry
    if entry.task is None or entry.source is None:
        raise ValueError("files stand for a registered task with a source")
    return LockedTask(
        entry=key,
        task=entry.task,
        source=entry.source,
        options=entry.options,
        rows=found.counts,
    )


def _task_line(name: str, locked: LockedTask) -> str:
    rows = ", ".join(f"{split} {count:,}" for split, count in locked.rows.items())
    return f"tasks.{name}: {_source_line(locked.source)}; rows: {rows}"


def _model_line(name: str, locked: LockedModel) -> str:
    return f"models.{name}: {_source_line(locked.source)}"


def _source_line(source: Source) -> str:
    at = f" at {source.revision}" if source.revision else ""
    count = len(source.sha256)
    return f"{source.uri}{at}, {count} file{'s' if count > 1 else ''}"
