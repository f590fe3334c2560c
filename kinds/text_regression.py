"""Texts, or pairs of texts, with a number each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kinds.contract import Kind
from kinds.inputs.text import Text
from kinds.outputs.numbers import OneNumber
from kinds.registry import register


@register("text-regression")
@dataclass(frozen=True)
class TextRegression(Kind):
    """Text, or a pair of texts -> a number."""

    loader: ClassVar = "AutoModelForSequenceClassification"
    inputs = Text()
    output = OneNumber()
