"""Prompts and the texts that follow them, as one sequence of tokens for a decoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from finegrid.records.base import Record
from finegrid.records.references import references
from kinds.contract import Composed, Example
from kinds.inputs.conversations import CONVERSATION, last_turn
from kinds.inputs.decoders import SEES_AHEAD, answer_frame, beginning, chat, ids_of, put_before
from kinds.inputs.parts import PIECE
from kinds.inputs.text import LEFT_OUT, Text, Tokenizer

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from finegrid.models.anatomy import Anatomy
    from finegrid.records.specification import Model

_PROMPT, _TARGET, _EARLIER = "prompt", "target", "earlier"
_COUNTS = ("prompt", LEFT_OUT, PIECE)
"""What stands beside an example's tokens."""
_CHAT, _NONE = "chat", "none"
_NO_TURNS = "[]"
PLAIN = "pieces: true is for plain texts"
NO_PROMPT = f"{PLAIN}; allowed: columns without {_PROMPT}, or pieces: false"
_MOST_SPECIAL = 4
"""Special tokens that begin a text, in all tokenizers that are known."""
_FORMAT_FIELDS = frozenset({_PROMPT})


def _template(text: str) -> str:
    """Raises ValueError for what is no template."""
    if text in (_CHAT, _NONE):
        return text
    try:
        fields = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise ValueError(f"no format string: {error}; allowed: {{prompt}} in a text") from error
    if fields != _FORMAT_FIELDS:
        raise ValueError(
            "allowed: chat, none, or a text with {prompt}, after which the target stands"
        )
    return text


class PromptEncoding(Record):
    """How a prompt and a target become one sequence."""

    template: Annotated[str, AfterValidator(_template)] = _NONE
    """`chat`: the tokenizer's own chat template. `none`: the prompt as it stands. Else a text with
    `{prompt}` in it. The target follows."""
    packing: bool = False
    """Whether several examples of the training split stand in one row, as many as go into it."""
    pieces: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    """Whether a plain text that is longer than the length becomes several examples."""

    @model_validator(mode="after")
    def _check_pieces(self) -> Self:
        if self.pieces and self.template != _NONE:
            raise ValueError(f"{PLAIN}; allowed: template: none")
        return self


AS_IT_STANDS = PromptEncoding()


class _Rendered(NamedTuple):
    """The two parts of an example's text."""

    prompt: str
    target: str
    is_whole: bool
    """Whether the template has said how the text begins, so that the tokenizer adds nothing."""


@dataclass(frozen=True)
class Prompts(Text):
    """A prompt, if there is one, and its target; a batch is padded to its longest on the right.

    Both parts are cut into tokens apart, so that a model reads at the end of a prompt what it has
    learnt to go on from. A token that ends texts follows the target, or the one that ends a turn of
    the tokenizer's chat template, whose words before an answer are the prompt's. What is longer
    than the length lacks the end of the target; a prompt that leaves nothing of it is refused.
    """

    columns: ClassVar[tuple[str, ...]] = (_PROMPT, _EARLIER)
    optional: ClassVar[tuple[str, ...]] = (_PROMPT, _EARLIER)

    composed: ClassVar[Mapping[str, Composed]] = {
        "messages": Composed((_EARLIER, _PROMPT, _TARGET), last_turn, allowed=CONVERSATION)
    }

    encoding: PromptEncoding = AS_IT_STANDS

    def compare(self) -> Any:
        """By the words of prompt and target."""
        from kinds.inputs.duplicates import TEXT_DEFINITION, Comparison, readings, text_matches

        def read(rows: pa.Table) -> Any:
            names = [name for name in (_PROMPT, _TARGET) if name in rows.column_names]
            columns = (map(_whole, rows[name].to_pylist()) for name in names)
            return readings(zip(*columns, strict=True))

        return Comparison(TEXT_DEFINITION, read, text_matches)

    def processor(self, folder: Path) -> Tokenizer:
        """The tokenizer of the model in the folder, and what ends an answer by its chat template.

        Raises ValueError for one without a template that is asked for.
        """
        found = super().processor(folder)
        if self.encoding.template != _CHAT:
            return found
        return replace(found, turn_end=answer_frame(found).end)

    def problems(self, rows: pa.Table) -> Iterator[str]:
        """Prompts before texts that are to be learnt in pieces."""
        yield from super().problems(rows)
        if self.divides and _PROMPT in rows.column_names:
            yield NO_PROMPT

    def encode(self, rows: pa.Table, processor: Tokenizer, max_length: int) -> list[Example]:
        """Token ids, how many of them are the prompt's, and how many more the target had."""
        rendered = list(self._rendered(rows, processor))
        prompts = _prompt_ids(rendered, processor)
        targets = _target_ids(rendered, processor)
        _check_room(rows, prompts, max_length)
        if self.divides:
            texts = zip(prompts, targets, strict=True)
            return [piece for text in texts for piece in _pieces(*text, max_length)]
        return [
            {
                "input_ids": (prompt + target)[:max_length],
                "prompt": len(prompt),
                LEFT_OUT: max(0, len(prompt) + len(target) - max_length),
            }
            for prompt, target in zip(prompts, targets, strict=True)
        ]

    def encoded(self, example: Example) -> pa.Schema:
        """Lists of 32-bit integers, and of an example that is no pack two counts."""
        import pyarrow as pa

        return pa.schema(
            [(name, pa.int32() if name in _COUNTS else pa.list_(pa.int32())) for name in example]
        )

    @property
    def packs(self) -> bool:
        """As the encoding says."""
        return self.encoding.packing

    @property
    def divides(self) -> bool:
        """As the encoding says: a plain text may be several pieces."""
        return self.encoding.pieces

    def begins(self, example: Example) -> bool:
        """Whether it is the first piece of its text, or no piece, as what is packed."""
        return not example.get(PIECE)

    def joined(self, examples: Sequence[Example]) -> Example:
        """The tokens one after another, and their positions, which start again with each example.

        By these the library keeps attention within an example.
        """
        import numpy as np

        ids = [one["input_ids"] for one in examples]
        return {
            "input_ids": np.concatenate(ids),
            "position_ids": np.concatenate([np.arange(len(one)) for one in ids]),
        }

    def unfit(self, model: Model, anatomy: Anatomy) -> str | None:
        """A model that sees what it is to write, or would let packed examples see each other."""
        if not anatomy.causal:
            return SEES_AHEAD
        if self.packs and not anatomy.packs:
            return (
                "encoding.packing: true, and nothing keeps the model's attention within a packed "
                "example; allowed: packing: false"
            )
        return None

    def units(self, examples: int, file_bytes: int, max_length: int, model: Any) -> int:
        """Templates add to what stands in the file: the length alone is a bound of an example.

        No token is less than a byte of the file, and a piece that is not the last of its text has
        as many as it may, but for those that begin it.
        """
        room = max(1, max_length - _MOST_SPECIAL)
        more = file_bytes // room if self.divides else 0
        return (examples + more) * self.longest(max_length, model)

    def collate(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """Token ids, (batch, tokens), padded on the right, with their mask.

        Packs have positions in its place: each token of padding is at 0, an example of its own.
        """
        keys = [key for key in examples[0] if key not in _COUNTS]
        batch = super().collate([{key: one[key] for key in keys} for one in examples], fillers)
        return {key: batch[key] for key in _read(keys)}

    def prompts(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """The prompts alone, (batch, tokens), padded on the left: what is written comes next."""
        turned = [{"input_ids": one["input_ids"][: one["prompt"]][::-1]} for one in examples]
        batch = super().collate(turned, fillers)
        return {name: tensor.flip(1) for name, tensor in batch.items()}

    def blank(self, count: int, size: int, configuration: Any) -> dict[str, torch.Tensor]:
        """Zeros, (count, size), for token ids and mask."""
        import torch

        keys = _read(["position_ids"] if self.packs else [])
        return {key: torch.zeros(count, size, dtype=torch.long) for key in keys}

    def _rendered(self, rows: pa.Table, processor: Tokenizer) -> Iterator[_Rendered]:
        """The text of each row. Raises ValueError for a chat template that cannot be cut."""
        count, names = rows.num_rows, rows.column_names
        given = (
            rows[name].to_pylist() if name in names else [None] * count
            for name in (_EARLIER, _PROMPT)
        )
        learnt = (references(one)[0] for one in rows[_TARGET].to_pylist())
        template = self.encoding.template
        before = answer_frame(processor).before if template == _CHAT else ""
        for earlier, prompt, target in zip(*given, learnt, strict=True):
            if template != _CHAT and earlier not in (None, _NO_TURNS):
                raise ValueError(
                    f"encoding.template: {template!r} would leave out the turns before a question; "
                    "allowed: chat, or conversations of a question and an answer"
                )
            if template == _CHAT and prompt is not None:
                yield _chat(processor.tokenizer, earlier, prompt, target, before)
            elif template in (_CHAT, _NONE):
                yield _Rendered(prompt or "", target, is_whole=False)
            else:
                yield _Rendered(template.format(prompt=prompt or ""), target, is_whole=False)


def _whole(text: str | list[str]) -> str:
    """One text of several that are right."""
    return " ".join(references(text))


def _read(keys: Sequence[str]) -> tuple[str, str]:
    """What a model reads of examples with these values."""
    return "input_ids", "position_ids" if "position_ids" in keys else "attention_mask"


def _chat(tokenizer: Any, earlier: str | None, prompt: str, target: str, before: str) -> _Rendered:
    """A turn of a conversation, by the tokenizer's template.

    The prompt is what the template makes without the answer, and has to begin what it makes with
    it: else no token would be known to be the answer's. What stands `before` every answer is the
    prompt's as well.
    """
    import json

    turns = [*json.loads(earlier or _NO_TURNS), {"role": "user", "content": prompt}]
    start = chat(tokenizer, turns, is_answered=False)
    answered = [*turns, {"role": "assistant", "content": target}]
    whole = chat(tokenizer, answered, is_answered=True)
    if not whole.startswith(start):
        raise ValueError(
            "encoding.template: chat, and the tokenizer's chat template makes another beginning of "
            f"a conversation once it is answered: {start[-40:]!r} is not in {whole[:200]!r}; "
            "allowed: none, or a text with {prompt}"
        )
    start += before if whole.startswith(start + before) else ""
    return _Rendered(start, whole[len(start) :], is_whole=True)


def _prompt_ids(rendered: Sequence[_Rendered], named: Tokenizer) -> list[list[int]]:
    """The tokens of the prompts, with those that begin a text; never none."""
    begins = beginning(named)
    found = ids_of(named, [one.prompt for one in rendered])
    return [
        (([] if one.is_whole else put_before(ids, begins)) + ids) or [named.first]
        for one, ids in zip(rendered, found, strict=True)
    ]


def _target_ids(rendered: Sequence[_Rendered], named: Tokenizer) -> list[list[int]]:
    """The tokens of the targets up to the one that ends a text, which is added where none does."""
    found, end = ids_of(named, [one.target for one in rendered]), named.ends[0]
    return [[*_without_end(ids, end), end] for ids in found]


def _without_end(ids: list[int], end: int) -> list[int]:
    """The tokens before the last one that ends a text: behind it, nothing is learnt."""
    return ids[: len(ids) - 1 - ids[::-1].index(end)] if end in ids else ids


def _pieces(start: list[int], target: list[int], max_length: int) -> Iterator[Example]:
    """A text as pieces of at most the length, each of which begins as the text does."""
    room = max_length - len(start)
    for number, at in enumerate(range(0, len(target), room)):
        ids = start + target[at : at + room]
        yield {"input_ids": ids, "prompt": len(start), LEFT_OUT: 0, PIECE: number}


def _check_room(rows: pa.Table, prompts: Sequence[list[int]], max_length: int) -> None:
    """Refuse prompts that leave no token of their targets. Raises ValueError."""
    filled = [at for at, prompt in enumerate(prompts) if len(prompt) >= max_length]
    if filled:
        longest = max(len(prompts[at]) for at in filled)
        first, tokens = rows["id"][filled[0]].as_py(), len(prompts[filled[0]])
        raise ValueError(
            f"max_length: {max_length} leaves nothing of the target in row {first!r}, whose prompt "
            f"has {tokens} tokens; allowed: from {longest + 1} for this row and those beside it"
        )
