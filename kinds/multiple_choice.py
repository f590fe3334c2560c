"""Questions with a few choices, of which one is the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from kinds.contract import Kind, Row, RowError
from kinds.inputs.choice_values import AnswerIs, answer_among, choices_of
from kinds.inputs.choices import AskedChoices, Choices
from kinds.inputs.values import text_of
from kinds.outputs.one_choice import OneChoice
from kinds.registry import register

if TYPE_CHECKING:
    import pyarrow as pa

    from finegrid.records.prepared import SplitName


@register("multiple-choice")
@dataclass(frozen=True)
class MultipleChoice(Kind):
    """A question and its choices, with a context or without -> the choice that answers it."""

    loader: ClassVar = "AutoModelForMultipleChoice"
    makes_rows: ClassVar = True
    several: ClassVar[frozenset[str]] = frozenset({"choices"})
    output = OneChoice()

    choices: Annotated[int, Field(ge=2)] | None = None
    """The most choices of a question; None: as many as the files have."""
    answer_is: AnswerIs | None = None
    """What the answer column holds; None: whatever names one choice alone in every row."""

    @property
    def inputs(self) -> AskedChoices:
        """The question with each of its choices."""
        return Choices(self.choices)

    def row(self, values: Mapping[str, Any]) -> Row:
        """Question and context as text, the choices as a list, the answer as a place from 0 on."""
        texts, names = choices_of(values["choices"])
        if self.choices is not None and len(texts) > self.choices:
            allowed = f"allowed: up to {self.choices}, as the task's key `choices` says"
            raise RowError("choices", f"{len(texts)} choices; {allowed}")
        question, context = (text_of(values.get(name)) for name in ("question", "context"))
        if not (question.strip() or context.strip()):
            raise RowError("question", "blank, and so is the context; allowed: a text in one")
        answer = answer_among(values["answer"], texts, names, self.answer_is)
        return {"context": context, "question": question, "choices": texts, "answer": answer}

    def found(self, splits: Mapping[SplitName, pa.Table]) -> dict[str, Any]:
        """The most choices."""
        import pyarrow.compute as pc

        if self.choices is not None:
            return {}
        counts = [pc.max(pc.list_value_length(rows["choices"])).as_py() for rows in splits.values()]
        return {"choices": max(counts)}
