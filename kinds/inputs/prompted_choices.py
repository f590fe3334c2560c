"""A question with each of its choices, as one sequence a choice for a decoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import AfterValidator

from finegrid.records.base import Record
from kinds.contract import Example
from kinds.inputs.choices import AskedChoices
from kinds.inputs.decoders import SEES_AHEAD, beginning, chat, ids_of, put_before
from kinds.inputs.text import Tokenizer

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from finegrid.models.anatomy import Anatomy
    from finegrid.records.specification import Model

_CONTEXT, _QUESTION = "context", "question"
_CHOICE = "{choice}"
_CHAT, _NONE = "chat", "none"
_ALLOWED = (
    "allowed: chat, none, or a text that has {question}, may have {context}, and ends in {choice}"
)


def _template(text: str) -> str:
    """Raises ValueError for what is no template."""
    if text in (_CHAT, _NONE):
        return text
    try:
        fields = _fields(text.removesuffix(_CHOICE))
    except ValueError as error:
        raise ValueError(f"no format string: {error}; {_ALLOWED}") from error
    if not text.endswith(_CHOICE) or not {_QUESTION} <= fields <= {_QUESTION, _CONTEXT}:
        raise ValueError(_ALLOWED)
    return text


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


class ChoiceEncoding(Record):
    """How a question and a choice become one sequence."""

    template: Annotated[str, AfterValidator(_template)] = _NONE
    """`none`: context, question and choice with a space between. `chat`: context and question are
    the user's turn in the tokenizer's own chat template, and the choice begins the answer. Else a
    text with `{question}`, if there is one `{context}`, and `{choice}` at its end."""

    def mismatch(self, *, has_context: bool) -> str | None:
        """Why the template does not go with a task that has contexts, or none."""
        if self.template in (_CHAT, _NONE):
            return None
        is_named = _CONTEXT in _fields(self.template)
        if is_named == has_context:
            return None
        lacks = f"has no {_CONTEXT}" if is_named else f"has a {_CONTEXT}, which is left out"
        allowed = "no {context} in it" if is_named else "{context} in it"
        return f"encoding.template: {self.template!r}, and the task {lacks}; allowed: {allowed}"


AS_IT_STANDS = ChoiceEncoding()


class _Asked(NamedTuple):
    """What stands before the choices of a question."""

    text: str
    between: str
    """The spaces at its end, which tokenizers take as the start of what follows."""
    is_whole: bool
    """Whether the template has said how the text begins, so that the tokenizer adds nothing."""


@dataclass(frozen=True)
class PromptedChoices(AskedChoices):
    """One example a choice: the question, and the choice that follows it.

    Both are cut into tokens together, and what goes beyond the question's own tokens is the
    choice's. A sequence that is longer than `max_length` lacks the start of the question; a choice
    is never cut. Lengths, cuts and tokens are those of lm-evaluation-harness (Gao et al. 2021).
    """

    encoding: ChoiceEncoding = AS_IT_STANDS

    def problems(self, rows: pa.Table) -> Iterator[str]:
        """Blank choices beside too few or too many: a text without a token has no likelihood."""
        import pyarrow.compute as pc

        yield from super().problems(rows)
        texts = pc.list_flatten(rows["choices"])
        if blank := pc.sum(pc.equal(pc.utf8_trim_whitespace(texts), "")).as_py():
            named = zip(rows["id"].to_pylist(), rows["choices"].to_pylist(), strict=True)
            first = next(name for name, own in named if not all(map(str.strip, own)))
            yield f"choices: {blank} are blank, the first in row {first!r}; allowed: texts"

    def encode(self, rows: pa.Table, processor: Tokenizer, max_length: int) -> list[Example]:
        """Token ids, how many of them are the question's, how many it lacks, the choice's place.

        Raises ValueError for a length that leaves nothing of a question, and for a choice that the
        tokenizer makes nothing of.
        """
        asked, choices = list(self._asked(rows, processor)), rows["choices"].to_pylist()
        questions = ids_of(processor, [one.text for one in asked])
        pairs = zip(asked, choices, strict=True)
        texts = [f"{one.text}{one.between}{choice}" for one, own in pairs for choice in own]
        wholes, begins = iter(ids_of(processor, texts)), beginning(processor)
        return [
            _example(start + next(wholes), len(start + question), place, name, max_length)
            for name, one, question, own in zip(
                rows["id"].to_pylist(), asked, questions, choices, strict=True
            )
            for start in [_start(one, begins, question, processor)]
            for place in range(len(own))
        ]

    @property
    def divides(self) -> bool:
        """True."""
        return True

    def begins(self, example: Example) -> bool:
        """Whether its choice is the first."""
        return bool(example["choice"] == 0)

    def encoded(self, example: Example) -> pa.Schema:
        """A list of 32-bit integers, and three counts."""
        import pyarrow as pa

        return pa.schema(dict.fromkeys(example, pa.int32()) | {"input_ids": pa.list_(pa.int32())})

    def left_out(self, example: Example) -> int:
        """The tokens at the start of the question."""
        return int(example["left_out"])

    def unfit(self, model: Model, anatomy: Anatomy) -> str | None:
        """A model that sees the choice before it is to say how likely it is."""
        return None if anatomy.causal else SEES_AHEAD

    def collate(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """Token ids, (batch, tokens), padded on the right, with their mask."""
        return super().collate([{"input_ids": one["input_ids"]} for one in examples], fillers)

    def blank(self, count: int, size: int, configuration: Any) -> dict[str, torch.Tensor]:
        """Zeros, (count, size), for token ids and mask."""
        import torch

        keys = ("input_ids", "attention_mask")
        return {key: torch.zeros(count, size, dtype=torch.long) for key in keys}

    def _asked(self, rows: pa.Table, processor: Tokenizer) -> Iterator[_Asked]:
        """What stands before the choices of each row. Raises ValueError without a chat template."""
        contexts = rows[_CONTEXT].to_pylist() if _CONTEXT in rows.column_names else None
        questions = rows[_QUESTION].to_pylist()
        for context, question in zip(contexts or [""] * len(questions), questions, strict=True):
            joined = " ".join(filter(str.strip, (context, question)))
            if self.encoding.template == _CHAT:
                turns = [{"role": "user", "content": joined}]
                yield _Asked(chat(processor.tokenizer, turns, is_answered=False), "", is_whole=True)
                continue
            text = f"{joined} "
            if self.encoding.template != _NONE:
                start = self.encoding.template.removesuffix(_CHOICE)
                text = start.format(context=context, question=question)
            stripped = text.rstrip()
            yield _Asked(stripped, text[len(stripped) :], is_whole=False)


def _start(one: _Asked, begins: list[int], question: list[int], named: Tokenizer) -> list[int]:
    """The special tokens before a question; one for a question that has no token at all."""
    found = [] if one.is_whole else put_before(question, begins)
    return found if found or question else [named.first]


def _example(ids: list[int], asked: int, place: int, row: str, max_length: int) -> Example:
    """The end of a sequence, of which so many tokens are the question's, as long as it may be."""
    learnt = len(ids) - asked
    if learnt < 1:
        raise ValueError(
            f"choice {place} of row {row!r} has no token of its own behind its question; allowed: "
            "texts that the tokenizer knows, and an encoding.template that ends in ' {choice}'"
        )
    if learnt >= max_length:
        raise ValueError(
            f"max_length: {max_length} leaves nothing of the question in row {row!r}, where choice "
            f"{place} has {learnt} tokens; allowed: from {learnt + 1} for this row"
        )
    cut = max(0, len(ids) - max_length)
    return {"input_ids": ids[cut:], "prompt": asked - cut, "left_out": cut, "choice": place}
