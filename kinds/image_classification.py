"""Images of one class each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kinds.contract import Kind
from kinds.inputs.images import Images
from kinds.outputs.classes import OneClass
from kinds.registry import register


@register("image-classification")
@dataclass(frozen=True)
class ImageClassification(Kind):
    """An image -> one class."""

    loader: ClassVar = "AutoModelForImageClassification"
    inputs = Images()
    output = OneClass()
