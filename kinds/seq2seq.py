"""Texts that are turned into other texts by an encoder and a decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kinds.contract import Kind
from kinds.inputs.sources import Languages, SourceText
from kinds.outputs.texts import GREEDY, Answer, Decoding, SelectsBy
from kinds.outputs.translation import Translation
from kinds.registry import register


@register("seq2seq")
@dataclass(frozen=True)
class Seq2Seq(Kind):
    """A text -> another one."""

    loader: ClassVar = "AutoModelForSeq2SeqLM"

    decoding: Decoding = GREEDY
    answer: Answer | None = None
    selects_by: SelectsBy = "loss"
    several_references: bool = False
    languages: Languages | None = None

    @property
    def inputs(self) -> SourceText:
        """The text that goes in."""
        return SourceText(languages=self.languages)

    @property
    def output(self) -> Translation:
        """The text that comes out."""
        return Translation(self.decoding, self.answer, self.selects_by, self.several_references)
