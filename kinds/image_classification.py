"""Flat images of one class each."""

from __future__ import annotations

from dataclasses import dataclass

from kinds.contract import Kind
from kinds.inputs.pixels import Pixels
from kinds.outputs.classes import OneClass
from kinds.registry import register


@register("image-classification")
@dataclass(frozen=True)
class ImageClassification(Kind):
    """Pixels of an image, row by row -> one class."""

    inputs = Pixels()
    output = OneClass()
