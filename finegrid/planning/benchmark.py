"""Reading a benchmark file."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import yaml
from pydantic import ValidationError

from finegrid.planning.lock import read_lock, written_out
from finegrid.planning.schema import Benchmark
from finegrid.planning.yaml_reader import read_yaml
from finegrid.problems import ConfigurationError, Location, dotted, explain, refused
from finegrid.records.merge import deep_merge
from finegrid.records.registry import unknown_name

CONFIG_FOLDER = Path(__file__).parents[2] / "config"
DEFAULT_BENCHMARK = "default"
_SUFFIXES = (".yaml", ".yml")
_EXTENDS = "extends"
_PLAIN = (str, int, type(None))
_TOO_DEEP = "a value holds itself by an anchor, or is nested too deep; allowed: plain nesting"


def as_written(
    config: Mapping[str, Any], files: Iterable[Path], arguments: Iterable[str]
) -> dict[str, Any]:
    """The configuration that Snakemake read, by YAML 1.1, as its user wrote it, in YAML 1.2.

    `files` are those that Snakemake read, each laid over the one before, and `arguments` what was
    given as `--config key=value` on top of them: of a list or a mapping Snakemake makes text.
    Raises ConfigurationError, also for a key written twice.
    """
    content: dict[str, Any] = {}
    files = list(files)
    for path in files:
        content = deep_merge(content, load_content(path))
    for key, _, text in (argument.partition("=") for argument in arguments):
        nested = isinstance(config[key], list | dict)
        value = _content(text.strip("'\""), key) if nested else config[key]
        content = deep_merge(content, {key: value})
    return _written_out(content, files) if content else dict(config)


def benchmark_from_config(config: Mapping[str, Any]) -> Benchmark:
    """The benchmark that a Snakemake configuration names or holds.

    `benchmark=NAME` reads `config/NAME.yaml`, or the file of that path if it ends in `.yaml`;
    without it the configuration itself is the benchmark, as `--configfile` gives it; empty, it is
    the default one. Raises ConfigurationError.
    """
    if not set(config) - {"benchmark"}:
        return read_benchmark(str(config.get("benchmark", DEFAULT_BENCHMARK)))
    if "benchmark" in config:
        extra = ", ".join(sorted(set(config) - {"benchmark"}))
        raise ConfigurationError([f"benchmark: named together with keys of one: {extra}"])
    return parse_benchmark(config)


def read_benchmark(name: str) -> Benchmark:
    """The benchmark of that name in `config/`, or in the file of that path.

    Raises ConfigurationError.
    """
    path = benchmark_file(name)
    return parse_benchmark(load_content(path), [path])


def benchmark_file(name: str) -> Path:
    """The file of that path, or of the benchmark of that name in `config/`.

    Raises ConfigurationError for an unknown name.
    """
    if name.endswith(_SUFFIXES):
        return Path(name)
    known = [path.stem for path in CONFIG_FOLDER.glob("*.yaml")]
    if name not in known:
        message = unknown_name("benchmark", name, known)
        raise ConfigurationError([f"benchmark: {message}, or a path that ends in .yaml"])
    return CONFIG_FOLDER / f"{name}.yaml"


def load_content(path: Path, above: tuple[str, ...] = ()) -> Any:
    """A file's content, laid over that of the file that it extends, if it does.

    Raises ConfigurationError for a missing file, broken YAML, and files that extend each other.
    """
    content = load_yaml(path)
    if not isinstance(content, dict) or _EXTENDS not in content:
        return content
    other, chain = content.pop(_EXTENDS), (*above, str(path.resolve()))
    if not isinstance(other, str) or not other.endswith(_SUFFIXES):
        allowed = "allowed: the path of a YAML file, from the folder of this one on"
        raise ConfigurationError([f"{_EXTENDS}: {refused(other, allowed)}"])
    if "name" not in content:
        raise ConfigurationError([f"{path}: name: this key is required beside {_EXTENDS}"])
    below = path.parent / Path(other).expanduser()
    if str(below.resolve()) in chain:
        circle = " -> ".join(Path(one).name for one in (*chain, str(below.resolve())))
        raise ConfigurationError([f"{_EXTENDS}: {circle} is a circle; allowed: none"])
    base = load_content(below, chain)
    if not isinstance(base, dict):
        raise ConfigurationError([f"{_EXTENDS}: {below} holds no keys; allowed: a benchmark"])
    return deep_merge(base, content)


def load_yaml(path: Path) -> Any:
    """The file's content. Raises ConfigurationError for a missing file or broken YAML."""
    try:
        with path.open(encoding="utf-8") as stream:
            return _content(stream, str(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError([f"{dotted((str(path),))}: {reason}"]) from error


def _content(document: str | IO[str], name: str) -> Any:
    """What a document of that name holds. Raises ConfigurationError, OSError and ValueError."""
    try:
        return read_yaml(document)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError([f"{name}: no valid YAML: {reason}"]) from error
    except RecursionError:
        raise ConfigurationError([f"{name}: {_TOO_DEEP}"]) from None


def parse_benchmark(content: Any, files: Sequence[Path] = ()) -> Benchmark:
    """The benchmark in parsed YAML, types and keys checked.

    `files` are those that it was read from; the locks beside them are read. Raises
    ConfigurationError.
    """
    content = _written_out(content, files)
    try:
        return Benchmark.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise ConfigurationError(explain(error, Benchmark.model_json_schema())) from error


def plain_content(content: Any) -> Any:
    """What JSON can say as well, with labels as text. Raises ConfigurationError for the rest."""
    try:
        content = _with_labels_as_text(content)
        foreign = list(_foreign(content, ()))
    except RecursionError:
        raise ConfigurationError([_TOO_DEEP]) from None
    if foreign:
        raise ConfigurationError(foreign)
    return content


def _written_out(content: Any, files: Sequence[Path]) -> Any:
    plain = plain_content(content)
    return written_out(plain, read_lock(files), files) if isinstance(plain, dict) else plain


def _with_labels_as_text(content: Any) -> Any:
    """The content, in which the labels that names stand for may be numbers, as files have them."""
    tasks = content.get("tasks") if isinstance(content, dict) else None
    if not isinstance(tasks, dict):
        return content
    return content | {"tasks": {name: _labels_as_text(entry) for name, entry in tasks.items()}}


def _labels_as_text(entry: Any) -> Any:
    labels = entry.get("labels") if isinstance(entry, dict) else None
    if not isinstance(labels, dict):
        return entry
    scalar = (str, int, float)
    keys = {key: str(key) if isinstance(key, scalar) else key for key in labels}
    return entry | {"labels": {keys[key]: name for key, name in labels.items()}}


def _foreign(value: Any, at: Location) -> Iterator[str]:
    """What YAML can say and JSON cannot: infinity, sets, keys that are no text."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            if not isinstance(key, str):
                yield f"{dotted(at)}: key {refused(key, 'a key is text; put it in quotes')}"
            yield from _foreign(below, (*at, str(key)))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _foreign(below, (*at, number))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{dotted(at)}: {refused(value, 'allowed: a finite number')}"
    elif not isinstance(value, (*_PLAIN, float)):
        kind = type(value).__name__
        yield f"{dotted(at)}: {refused(value, f'YAML reads a {kind} here; put text in quotes')}"
