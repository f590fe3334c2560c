"""Reading a benchmark file."""

import json
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from records.registry import unknown_name
from workflow.schemas.benchmark import Benchmark
from workflow.schemas.errors import ConfigurationError, Location, dotted, explain, refused

CONFIG_FOLDER = Path(__file__).parent.parent / "config"
DEFAULT_BENCHMARK = "default"
_SUFFIXES = (".yaml", ".yml")
_PLAIN = (str, int, type(None))
_TOO_DEEP = "a value holds itself by an anchor, or is nested too deep; allowed: plain nesting"


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key written twice: the second would silently win."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    # Merge keys are still apart here: a key beside `<<` may repeat, and overrides, a merged one.
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value if _is_own(key)]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        line = node.start_mark.line + 1
        raise ConfigurationError(
            [f"{twice}: this key stands twice in the mapping that begins at line {line}"]
        )
    return loader.construct_mapping(node, deep=True)


def _is_own(key: yaml.Node) -> bool:
    return bool(key.tag != "tag:yaml.org,2002:merge")


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def benchmark_from_config(config: Mapping[str, Any], files: Iterable[Path] = ()) -> Benchmark:
    """The benchmark that a Snakemake configuration names or holds.

    `benchmark=NAME` reads `config/NAME.yaml`, or the file of that path if it ends in `.yaml`;
    without it the configuration itself is the benchmark, as `--configfile` gives it; empty, it is
    the default one. `files` are those that Snakemake read; here they are read once more, for the
    keys written twice that it lets pass. Raises ConfigurationError.
    """
    for path in files:
        load_yaml(path)
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
            return yaml.load(stream, Loader=_Loader)  # noqa: S506  # derived from SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            [f"{path}: no valid YAML: {' '.join(str(error).split())}"]
        ) from error
    except RecursionError:
        raise ConfigurationError([f"{path}: {_TOO_DEEP}"]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError([f"{dotted((str(path),))}: {reason}"]) from error


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
    """What YAML can say and JSON cannot: dates, infinity, keys that are no text."""
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
