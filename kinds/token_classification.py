"""Sequences of words with a tag each: named entities, parts of speech."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kinds.contract import Kind
from kinds.inputs.word_lists import WordLists
from kinds.outputs.tags import Tags
from kinds.registry import register


@register("token-classification")
@dataclass(frozen=True)
class TokenClassification(Kind):
    """Words -> a tag each."""

    loader: ClassVar = "AutoModelForTokenClassification"
    inputs = WordLists()

    labels: tuple[str, ...] = ()
    """The names of the tags, by the index of their class."""

    @property
    def output(self) -> Tags:
        """The tags."""
        return Tags(self.labels)
