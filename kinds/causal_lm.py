"""Language models: a prompt, if there is one, and the text that follows it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from kinds.contract import Kind
from kinds.inputs.prompts import AS_IT_STANDS, NO_PROMPT, PromptEncoding, Prompts
from kinds.outputs.continuation import Continuation
from kinds.outputs.texts import GREEDY, Answer, Decoding, SelectsBy
from kinds.registry import register


@register("causal-lm")
@dataclass(frozen=True)
class CausalLM(Kind):
    """A prompt -> the text that follows; without prompts, plain text."""

    loader: ClassVar = "AutoModelForCausalLM"

    encoding: PromptEncoding = AS_IT_STANDS
    decoding: Decoding = GREEDY
    answer: Answer | None = None
    selects_by: SelectsBy = "loss"
    several_references: bool = False

    @property
    def inputs(self) -> Prompts:
        """Both texts as one sequence."""
        return Prompts(self.encoding)

    @property
    def output(self) -> Continuation:
        """The second one."""
        return Continuation(self.decoding, self.answer, self.selects_by, self.several_references)

    def conflict(self, columns: Collection[str]) -> tuple[str, str] | None:
        """Pieces are made of plain texts."""
        has_prompts = bool(set(columns) - set(self.output.schema().names))
        return ("encoding", NO_PROMPT) if self.encoding.pieces and has_prompts else None

    def metrics(self, columns: Collection[str]) -> tuple[str, ...]:
        """Without a prompt there is nothing to write after."""
        given = set(columns) - set(self.output.schema().names)
        return self.output.metrics if given else ("perplexity",)
