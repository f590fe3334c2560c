"""The lock of a benchmark: what its `hub:` and `path:` were found to be, once.

It lies beside the benchmark, `mine.lock.json` beside `mine.yaml`. Planning reads it and asks no
network; `finegrid.planning.locking` writes it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue, ValidationError

from finegrid.problems import ConfigurationError, Problems, refused
from finegrid.records.base import Record, Sha256
from finegrid.records.identity import content_hash
from finegrid.records.prepared import SplitName
from finegrid.records.specification import Source

HUB = "hub:"
_SOURCES = ("source", "tokenizer")
"""The keys of a model that name a source, and may do so by its URI alone."""
_MODEL_FORMS = "allowed: hub:<owner>/<name>, path:<path>, or a mapping with its kind"
Content = dict[str, Any]


class LockedTask(Record):
    """A task's files as they were found."""

    entry: Sha256
    """Hash of what the benchmark says of the task."""
    task: str
    """The registered task that reads the files."""
    source: Source
    options: dict[str, JsonValue]
    """Of the registered task; they hold columns and labels."""
    rows: dict[SplitName, int]


class LockedModel(Record):
    """A checkpoint as it was found."""

    uri: str
    """The short form, as the benchmark says it."""
    source: Source
    configuration: dict[str, JsonValue] = {}
    """Its config.json; empty where it lies on this machine."""
    processor: dict[str, JsonValue] = {}
    """What it says of how images or sounds are processed, if it does."""


class Lock(Record):
    """What the short forms of a benchmark stand for."""

    schema_version: Literal[1] = 1
    tasks: dict[str, LockedTask] = {}
    models: dict[str, LockedModel] = {}


def lock_file(benchmark: Path) -> Path:
    """Where the lock of a benchmark's file lies."""
    return benchmark.with_suffix(".lock.json")


def command(files: Sequence[Path]) -> str:
    """What writes the lock."""
    return f"finegrid lock {shlex.quote(str(files[-1])) if files else '<benchmark>'}"


def read_lock(files: Sequence[Path]) -> Lock:
    """The locks beside some files, each laid over those before; empty where there is none.

    Raises ConfigurationError for one that cannot be read.
    """
    lock = Lock()
    for file in filter(Path.exists, map(lock_file, files)):
        try:
            found = Lock.read(file)
        except (OSError, ValidationError) as error:
            problem = f"{file}: this is no lock that can be read; run: {command(files)}"
            raise ConfigurationError([problem]) from error
        lock = Lock(tasks=lock.tasks | found.tasks, models=lock.models | found.models)
    return lock


def written_out(content: Content, lock: Lock, files: Sequence[Path]) -> Content:
    """A benchmark's content in its long forms: what the lock says in place of what it locks.

    `files` are those of the benchmark. Raises ConfigurationError for a `hub:` that is not locked,
    and for what has changed since it was.
    """
    problems = Problems()
    writer = _Writer(lock, command(files), problems)
    sections = {"tasks": writer.task, "models": writer.model}
    for section, write in sections.items():
        entries = content.get(section)
        if isinstance(entries, Mapping):
            written = {name: write(name, entry) for name, entry in entries.items()}
            content = content | {section: written}
    problems.check()
    return content


@dataclass(frozen=True)
class _Writer:
    lock: Lock
    command: str
    problems: Problems

    def task(self, name: str, entry: Any) -> Any:
        """A task's entry: that of the registered task, where its files are locked."""
        if not isinstance(entry, Mapping) or "files" not in entry:
            return entry
        locked, path = self.lock.tasks.get(name), hub_files(entry)
        if locked is None:
            if path is not None:
                problem = f"{path} is not locked; run: {self.command}"
                self.problems.add(("tasks", name, "files"), problem)
            return entry
        if locked.entry != content_hash(entry):
            problem = f"this entry has changed since it was locked; run: {self.command}"
            self.problems.add(("tasks", name), problem)
            return entry
        source = locked.source.model_dump(mode="json", exclude_defaults=True)
        return {"task": locked.task, "source": source, "options": locked.options}

    def model(self, name: str, entry: Any) -> Any:
        """A model's entry in its long form."""
        if isinstance(entry, str):
            if not re.match("(hub|path|package):", entry):
                self.problems.add(("models", name), refused(entry, _MODEL_FORMS))
                return entry
            entry = {"kind": "checkpoint", "source": entry}
        if not isinstance(entry, Mapping):
            return entry
        if (uri := model_uri(entry)) is not None:
            found = self._checkpoint(name, uri)
            self._check_expected(name, entry.get("configuration"), found.get("configuration"))
            return {**entry, **found}
        short = {key: {"uri": entry[key]} for key in _SOURCES if isinstance(entry.get(key), str)}
        return {**entry, **short}

    def _check_expected(self, name: str, expected: Any, locked: Any) -> None:
        """What an entry expects of a configuration that is locked has to be true."""
        if not isinstance(expected, Mapping) or not isinstance(locked, Mapping):
            return
        for key, value in expected.items():
            if locked.get(key) != value:
                problem = refused(value, f"config.json has {locked.get(key)!r}")
                self.problems.add(("models", name, "configuration", key), problem)

    def _checkpoint(self, name: str, uri: str) -> Content:
        """Source and, of the Hub, configuration of a checkpoint by its URI."""
        locked = self.lock.models.get(name)
        if locked is not None and locked.uri == uri:
            source = locked.source.model_dump(mode="json", exclude_defaults=True)
            known = {"configuration": locked.configuration, "processor": locked.processor}
            return {"source": source} | {key: value for key, value in known.items() if value}
        if locked is not None or uri.startswith(HUB):
            what = "has changed since it was locked" if locked else "is not locked"
            self.problems.add(("models", name), f"{uri} {what}; run: {self.command}")
        return {"source": {"uri": uri}}


def hub_files(entry: Mapping[str, Any]) -> str | None:
    """The data set of the Hub that a task's files are, or None."""
    files = entry.get("files")
    path = files.get("path") if isinstance(files, Mapping) else files
    return path if isinstance(path, str) and path.startswith(HUB) else None


def model_uri(entry: Any) -> str | None:
    """The URI of a checkpoint that is named by it alone, or None."""
    if isinstance(entry, str):
        return entry
    named = isinstance(entry, Mapping) and entry.get("kind") == "checkpoint"
    source = entry.get("source") if named else None
    return source if isinstance(source, str) else None
