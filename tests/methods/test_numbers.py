"""A setting's number is one setting, whether it is written as an integer or as a float."""

from dataclasses import fields
from typing import get_type_hints

import pytest

from finegrid.problems import dump_settings
from finegrid.records.identity import canonical_json
from methods.registry import METHODS

OWN = [name for name in METHODS if ":" not in name]


def floats(name: str) -> list[str]:
    """The settings of a method that are floats."""
    hints = get_type_hints(METHODS.get(name))
    return [one.name for one in fields(METHODS.get(name)) if hints[one.name] is float]  # type: ignore[arg-type]  # a dataclass


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in OWN for key in floats(name)])
def test_an_integer_is_a_float(name: str, key: str) -> None:
    value = 0 if key == "dropout" else 1
    whole, real = (METHODS.build(name, {key: number}) for number in (value, float(value)))
    assert canonical_json(dump_settings(whole)) == canonical_json(dump_settings(real))


def test_methods_with_floats_are_found() -> None:
    assert {name for name in OWN if floats(name)} >= {"lora", "prefix", "prompt", "vera"}
