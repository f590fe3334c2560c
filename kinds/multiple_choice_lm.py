"""Questions with a few choices, of which a language model finds one the likeliest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kinds.contract import Row, RowError
from kinds.inputs.prompted_choices import AS_IT_STANDS, ChoiceEncoding, PromptedChoices
from kinds.multiple_choice import MultipleChoice
from kinds.outputs.likeliest import LikeliestChoice
from kinds.registry import register


@register("multiple-choice-lm")
@dataclass(frozen=True)
class MultipleChoiceLM(MultipleChoice):
    """A question and its choices -> the choice that is likeliest to follow, by a decoder."""

    loader: ClassVar = "AutoModelForCausalLM"
    output = LikeliestChoice()

    encoding: ChoiceEncoding = AS_IT_STANDS

    @property
    def inputs(self) -> PromptedChoices:
        """The question before each of its choices."""
        return PromptedChoices(self.choices, self.encoding)

    def row(self, values: Mapping[str, Any]) -> Row:
        """As a row of choices for any model; the template has to read what the row has."""
        has_context = "context" in values
        if problem := self.encoding.mismatch(has_context=has_context):
            raise RowError("context" if has_context else "question", problem)
        return super().row(values)
