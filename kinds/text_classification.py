"""Texts, or pairs of texts, of one class each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kinds.contract import Kind
from kinds.inputs.text import Text
from kinds.outputs.classes import OneClass
from kinds.registry import register


@register("text-classification")
@dataclass(frozen=True)
class TextClassification(Kind):
    """Text, or a pair of texts -> one class."""

    loader: ClassVar = "AutoModelForSequenceClassification"
    inputs = Text()
    output = OneClass()
