"""Flat images of grey values, of one class each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kinds.contract import Kind
from kinds.inputs.pixels import Pixels
from kinds.outputs.classes import OneClass
from kinds.registry import register


@register("flat-image-classification")
@dataclass(frozen=True)
class FlatImageClassification(Kind):
    """Grey values of an image, row by row -> one class."""

    loader: ClassVar = None
    inputs = Pixels()
    output = OneClass()
