"""YAML 1.2, and a file that Snakemake read by YAML 1.1 before."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from snakemake.cli import parse_config
from snakemake.settings.types import ConfigSettings

from finegrid.planning.benchmark import as_written
from finegrid.planning.yaml_reader import read_yaml
from finegrid.problems import ConfigurationError

# YAML 1.2.2, examples 10.3 and 2.19 to 2.21, and what only YAML 1.1 reads as something else.
SCALARS: list[tuple[str, Any]] = [
    ("1e-4", 1e-4),
    ("1.0e-4", 1e-4),
    ("1E5", 1e5),
    (".5", 0.5),
    ("-2e+3", -2000.0),
    ("+12.", 12.0),
    ("0", 0),
    ("-19", -19),
    ("012", 12),
    ("0o7", 7),
    ("0x3A", 58),
    (".inf", math.inf),
    ("-.Inf", -math.inf),
    ("true", True),
    ("FALSE", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("yes", "yes"),
    ("no", "no"),
    ("On", "On"),
    ("off", "off"),
    ("y", "y"),
    ("1:30", "1:30"),
    ("1_000", "1_000"),
    ("0b1", "0b1"),
    ("2001-12-14", "2001-12-14"),
    ("=", "="),
    ("1e", "1e"),
    ("e1", "e1"),
    ("1.5.2", "1.5.2"),
    ("-", "-"),
    ("tRUE", "tRUE"),
    ("'1e-4'", "1e-4"),
    ('"null"', "null"),
    ("!!str 12", "12"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_scalar_is_what_the_core_schema_says(text: str, value: Any) -> None:
    found = read_yaml(f"[{text}]" if text and text != "-" else f"a: {text!r}" if text else "- ")
    [found] = found.values() if isinstance(found, dict) else found
    assert (type(found), found) == (type(value), value)


def snakemakes(files: Sequence[Path], arguments: Sequence[str]) -> ConfigSettings:
    """The configuration as Snakemake itself reads it."""
    return ConfigSettings(
        config=parse_config(arguments), configfiles=list(files), config_args=list(arguments)
    )


def test_what_snakemake_read_is_read_as_it_was_written(tmp_path: Path) -> None:
    first, second = tmp_path / "1.yaml", tmp_path / "2.yaml"
    first.write_text("aa: {rate: 1e-4, on: no, size: 012}\nbb: [1e-3]\nname: x\n")
    second.write_text("aa: {rate: 1e-5}\n")
    arguments = ["cc={x: [1e-2, no]}", "name=1e3y", 'results="~/my results"', "flag=true"]
    read = snakemakes([first, second], arguments)
    config = read.overwrite_config
    assert config["bb"] == ["1e-3"]
    assert config["aa"] == {"rate": "1e-5", True: False, "size": 10}
    assert as_written(config, read.configfiles, read.config_args) == {
        "aa": {"rate": 1e-5, "on": "no", "size": 12},
        "bb": [1e-3],
        "cc": {"x": [0.01, "no"]},
        "name": "1e3y",
        "results": "~/my results",
        "flag": "true",
    }


def test_an_argument_is_laid_over_the_files(tmp_path: Path) -> None:
    file = tmp_path / "1.yaml"
    file.write_text("aa: {rate: 1e-4, size: 1}\n")
    read = snakemakes([file], ["aa='{rate: 1e-2}'"])
    found = as_written(read.overwrite_config, read.configfiles, read.config_args)
    assert found == {"aa": {"rate": 0.01, "size": 1}}


def test_without_files_and_arguments_it_is_what_it_is() -> None:
    assert as_written({"a": {"b": "1e-4"}}, (), ()) == {"a": {"b": "1e-4"}}


@pytest.mark.parametrize("argument", ["aa={x: 1, x: 2}", "aa=[!!python/name:x 1]"])
def test_an_argument_that_is_no_yaml_is_named(argument: str) -> None:
    read = snakemakes([], [argument])
    with pytest.raises(ConfigurationError, match=r"twice|aa: no valid YAML"):
        as_written(read.overwrite_config, read.configfiles, read.config_args)
