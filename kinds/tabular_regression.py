"""Rows of numbers with a number each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kinds.contract import Kind
from kinds.inputs.features import Features
from kinds.outputs.numbers import OneNumber
from kinds.registry import register


@register("tabular-regression")
@dataclass(frozen=True)
class TabularRegression(Kind):
    """Numbers of a row -> a number."""

    loader: ClassVar = None
    inputs = Features()
    output = OneNumber()
