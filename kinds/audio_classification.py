"""Recordings of one class each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kinds.contract import Kind
from kinds.inputs.audio import Audio
from kinds.outputs.classes import OneClass
from kinds.registry import register


@register("audio-classification")
@dataclass(frozen=True)
class AudioClassification(Kind):
    """A recording -> one class."""

    loader: ClassVar = "AutoModelForAudioClassification"
    inputs = Audio()
    output = OneClass()
