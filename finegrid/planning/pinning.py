"""Local sources pinned by content: an edited file makes another task, another model, other runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from finegrid.planning.schema import Benchmark, CheckpointEntry, RandomEntry, TaskEntry
from finegrid.prepare.model import taken_of_folder
from finegrid.prepare.sources import Hash, SourceError, is_local, local_files, unreadable
from finegrid.problems import ConfigurationError, Location, dotted
from finegrid.records.identity import file_sha256
from finegrid.records.registry import UnknownNameError
from finegrid.records.specification import Source
from tasks.registry import TASKS

_SOURCES: Mapping[type[Any], str] = {CheckpointEntry: "source", RandomEntry: "tokenizer"}
"""Where the entry of a model names its source."""


def pinned(benchmark: Benchmark, hashed: Hash = file_sha256) -> Benchmark:
    """The benchmark, in which local sources list the hash of every file that is taken of them.

    `hashed` gives the hash of a file's bytes. What is listed already stays, right or wrong, and so
    does a source with a problem that the planner will name. Raises ConfigurationError for a file
    that cannot be read.
    """
    tasks = {name: _task(name, entry, hashed) for name, entry in benchmark.tasks.items()}
    models = {name: _model(name, entry, hashed) for name, entry in benchmark.models.items()}
    return benchmark.model_copy(update={"tasks": tasks, "models": models})


def _task(name: str, entry: TaskEntry, hashed: Hash) -> TaskEntry:
    if entry.source is None or entry.task is None:
        return entry
    try:
        task = TASKS.build(entry.task, entry.options)
    except (UnknownNameError, ValidationError):
        return entry
    at, options = ("tasks", name), dict(entry.options)
    source = _pinned(entry.source, task.files(), hashed, (*at, "source"))
    for key, (given, files) in task.beside().items():
        if (beside := _pinned(given, files, hashed, (*at, "options", key))) != given:
            options[key] = beside.model_dump(mode="json", exclude_defaults=True)
    return entry.model_copy(update={"source": source, "options": options})


def _model(name: str, entry: Any, hashed: Hash) -> Any:
    key = _SOURCES.get(type(entry))
    if key is None:
        return entry
    source: Source = getattr(entry, key)
    pinned_source = local_source(source, hashed, ("models", name, key))
    return entry.model_copy(update={key: pinned_source})


def local_source(source: Source, hashed: Hash, at: Location) -> Source:
    """The source of a model with the hashes of the files that are taken of a folder.

    One with a problem stays as it is. Raises ConfigurationError for a file that cannot be read.
    """
    try:
        files = taken_of_folder(source)
    except (SourceError, OSError):
        return source
    return _pinned(source, files, hashed, at)


def _pinned(source: Source, files: tuple[str, ...] | None, hashed: Hash, at: Location) -> Source:
    """The source with the hashes of the files that are taken, `files` or those listed or all."""
    if files == () or not is_local(source.uri):
        return source
    try:
        found = local_files(source, files)
        missing = {name: path for name, path in found.items() if name not in source.sha256}
        hashes = {name: hashed(path) for name, path in missing.items() if path.is_file()}
    except SourceError:
        return source
    except OSError as error:
        raise ConfigurationError([f"{dotted(at)}: {unreadable(source, error)}"]) from error
    return source.model_copy(update={"sha256": source.sha256 | hashes}) if hashes else source
