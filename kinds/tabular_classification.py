"""Rows of numbers of one class each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kinds.contract import Kind
from kinds.inputs.features import Features
from kinds.outputs.classes import OneClass
from kinds.registry import register


@register("tabular-classification")
@dataclass(frozen=True)
class TabularClassification(Kind):
    """Numbers of a row -> one class."""

    loader: ClassVar = None
    inputs = Features()
    output = OneClass()
