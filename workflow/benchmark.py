"""Reading a benchmark file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from records.registry import unknown_name
from workflow.schemas.benchmark import Benchmark
from workflow.schemas.errors import ConfigurationError, explain

CONFIG_FOLDER = Path(__file__).parent.parent / "config"
DEFAULT_BENCHMARK = "default"


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key written twice: the second would silently win."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    own = [k for k in keys if keys.count(k) > 1]
    if own:
        line = node.start_mark.line + 1
        raise ConfigurationError([f"{own[0]}: this key stands twice in the mapping at line {line}"])
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def benchmark_from_config(config: Mapping[str, Any]) -> Benchmark:
    """The benchmark that a Snakemake configuration names or holds.

    `benchmark=NAME` reads `config/NAME.yaml`; without it the configuration itself is the
    benchmark, as `--configfile` gives it; empty, it is the default one.
    Raises ConfigurationError.
    """
    if set(config) - {"benchmark"}:
        if "benchmark" in config:
            extra = ", ".join(sorted(set(config) - {"benchmark"}))
            raise ConfigurationError([f"benchmark: named together with a whole one: {extra}"])
        return parse_benchmark(config)
    return read_benchmark(config.get("benchmark", DEFAULT_BENCHMARK))


def read_benchmark(name: str) -> Benchmark:
    """The benchmark of that name in `config/`. Raises ConfigurationError."""
    known = [path.stem for path in CONFIG_FOLDER.glob("*.yaml")]
    if name not in known:
        raise ConfigurationError([f"benchmark: {unknown_name('benchmark', str(name), known)}"])
    return parse_benchmark(load_yaml(CONFIG_FOLDER / f"{name}.yaml"))


def load_yaml(path: Path) -> Any:
    """The file's content. Raises ConfigurationError for a missing file or broken YAML."""
    try:
        with path.open(encoding="utf-8") as stream:
            return yaml.load(stream, Loader=_Loader)  # noqa: S506  # derived from SafeLoader
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from error
    except yaml.YAMLError as error:
        raise ConfigurationError([f"{path}: no valid YAML: {error}"]) from error


def parse_benchmark(content: Any) -> Benchmark:
    """The benchmark in parsed YAML, types and keys checked. Raises ConfigurationError."""
    try:
        text = json.dumps(content, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigurationError([f"the file: only text keys and JSON values: {error}"]) from error
    try:
        return Benchmark.model_validate_json(text)
    except ValidationError as error:
        raise ConfigurationError(explain(error, Benchmark.model_json_schema())) from error
