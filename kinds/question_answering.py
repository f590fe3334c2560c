"""Questions that a span of their context answers, as those of SQuAD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kinds.contract import Kind, Row, RowError
from kinds.inputs.answer_values import answers_of, misplaced
from kinds.inputs.values import text_of
from kinds.inputs.windows import A_THIRD, WindowEncoding, Windows
from kinds.outputs.spans import LIKELIEST, SpanDecoding, Spans
from kinds.registry import register


@register("question-answering")
@dataclass(frozen=True)
class QuestionAnswering(Kind):
    """A question and a context -> the span of the context that answers it, if one does."""

    loader: ClassVar = "AutoModelForQuestionAnswering"
    makes_rows: ClassVar = True
    several: ClassVar[frozenset[str]] = frozenset({"answers"})

    encoding: WindowEncoding = A_THIRD
    decoding: SpanDecoding = LIKELIEST
    unanswerable: bool = False
    """Whether questions may have no answer, which a model then may say."""

    @property
    def inputs(self) -> Windows:
        """The question with each window of the context."""
        return Windows(self.encoding)

    @property
    def output(self) -> Spans:
        """Where the span starts and ends."""
        return Spans(self.decoding, self.unanswerable)

    def row(self, values: Mapping[str, Any]) -> Row:
        """Context and question as text, and the answers with their places in the context."""
        context, question = (text_of(values[name]) for name in ("context", "question"))
        for name, text in (("context", context), ("question", question)):
            if not text.strip():
                raise RowError(name, "blank; allowed: text")
        texts, starts = answers_of(values["answers"])
        if not texts and not self.unanswerable:
            raise RowError("answers", "no answer; allowed: one, or unanswerable: true")
        if problem := misplaced(context, texts, starts):
            raise RowError("answers", problem)
        answers = {"text": texts, "answer_start": starts}
        return {"context": context, "question": question, "answers": answers}
