"""Reading a benchmark file."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import yaml
from pydantic import ValidationError

from finegrid.planning.schema import Benchmark
from finegrid.planning.yaml_reader import read_yaml
from finegrid.problems import ConfigurationError, Location, dotted, explain, refused
from finegrid.records.merge import deep_merge
from finegrid.records.registry import unknown_name

CONFIG_FOLDER = Path(__file__).parents[2] / "config"
DEFAULT_BENCHMARK = "default"
_SUFFIXES = (".yaml", ".yml")
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
    for path in files:
        content = deep_merge(content, load_yaml(path))
    for key, _, text in (argument.partition("=") for argument in arguments):
        nested = isinstance(config[key], list | dict)
        value = _content(text.strip("'\""), key) if nested else config[key]
        content = deep_merge(content, {key: value})
    return content or dict(config)


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
    if name.endswith(_SUFFIXES):
        return parse_benchmark(load_yaml(Path(name)))
    known = [path.stem for path in CONFIG_FOLDER.glob("*.yaml")]
    if name not in known:
        message = unknown_name("benchmark", name, known)
        raise ConfigurationError([f"benchmark: {message}, or a path that ends in .yaml"])
    return parse_benchmark(load_yaml(CONFIG_FOLDER / f"{name}.yaml"))


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


def parse_benchmark(content: Any) -> Benchmark:
    """The benchmark in parsed YAML, types and keys checked. Raises ConfigurationError."""
    try:
        foreign = list(_foreign(content, ()))
    except RecursionError:
        raise ConfigurationError([_TOO_DEEP]) from None
    if foreign:
        raise ConfigurationError(foreign)
    try:
        return Benchmark.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise ConfigurationError(explain(error, Benchmark.model_json_schema())) from error


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
