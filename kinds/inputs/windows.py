"""A question with each window of a long context, as a model's own tokenizer cuts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from finegrid.records.base import Record
from kinds.contract import Example
from kinds.inputs.text import Text, Tokenizer, _filled

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from finegrid.records.specification import Model

_NOT_READ = ("window", "first", "offsets")
"""What stands beside the tokens: the window's number among those of its row, where its context
begins among its tokens, and where each token of that starts and ends in the text."""
_MOST_SPECIAL = 4
"""Special tokens about a pair, in all tokenizers that are known."""


class WindowEncoding(Record):
    """How a context becomes windows."""

    stride: Annotated[int, Field(ge=0)] | None = None
    """Tokens that a window shares with the one before it; None: a third of what it has of the
    context."""


A_THIRD = WindowEncoding()


@dataclass(frozen=True)
class Windows(Text):
    """The question and a window of the context as a pair; a row has as many windows as it takes.

    A question is never cut.
    """

    columns: ClassVar[tuple[str, ...]] = ("context", "question")
    optional: ClassVar[tuple[str, ...]] = ()

    encoding: WindowEncoding = A_THIRD

    def problems(self, rows: pa.Table) -> Iterator[str]:
        """Blank contexts or questions."""
        import pyarrow.compute as pc

        for name in self.columns:
            blank = pc.equal(pc.utf8_trim_whitespace(rows[name]), "").to_numpy().nonzero()[0]
            if len(blank):
                first = rows["id"][int(blank[0])].as_py()
                yield f"{len(blank)} rows with a blank {name}, the first {first!r}; allowed: texts"

    def processor(self, folder: Path) -> Tokenizer:
        """The tokenizer of the model in the folder.

        Raises ValueError for one that does not say where its tokens stand in a text.
        """
        found = super().processor(folder)
        if not found.tokenizer.is_fast:
            name = type(found.tokenizer).__name__
            raise ValueError(
                f"tokenizer: {name} does not say where its tokens stand in a text; allowed: a fast "
                "one, which has a tokenizer.json"
            )
        found.tokenizer.truncation_side = "right"  # windows go from the start of a context
        return found

    def encode(self, rows: pa.Table, processor: Tokenizer, max_length: int) -> list[Example]:
        """The windows of each row, in their order.

        Raises ValueError for a question that leaves no room for a context, or for the stride.
        """
        columns = (rows[name].to_pylist() for name in ("id", "context", "question"))
        return [
            window
            for name, context, question in zip(*columns, strict=True)
            for window in self._windows(name, context, question, processor, max_length)
        ]

    @property
    def divides(self) -> bool:
        """True."""
        return True

    def begins(self, example: Example) -> bool:
        """Whether it is the first window."""
        return bool(example["window"] == 0)

    def encoded(self, example: Example) -> pa.Schema:
        """Lists of 32-bit integers, and two counts."""
        import pyarrow as pa

        counts = dict.fromkeys(("window", "first"), pa.int32())
        return pa.schema({name: pa.list_(pa.int32()) for name in example} | counts)

    def left_out(self, example: Example) -> int:
        """None: what one window lacks another has."""
        return 0

    def units(self, examples: int, file_bytes: int, max_length: int, model: Model) -> int:
        """Windows of the full length, for questions that take no more than half of one."""
        room = max(1, max_length // 2 - _MOST_SPECIAL)
        step = max(1, room - _stride(self.encoding, room))
        return max_length * (examples + file_bytes // step)

    def collate(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """Token ids, attention mask and whatever else there is: (batch, tokens)."""
        read = [key for key in examples[0] if key not in _NOT_READ]
        return super().collate([{key: one[key] for key in read} for one in examples], fillers)

    def _windows(
        self, name: str, context: str, question: str, processor: Tokenizer, max_length: int
    ) -> Iterator[Example]:
        tokenizer = processor.tokenizer
        asked = len(tokenizer(question, add_special_tokens=False)["input_ids"])
        room = max_length - asked - tokenizer.num_special_tokens_to_add(pair=True)
        stride = _stride(self.encoding, room)
        if room <= stride:
            raise ValueError(_no_room(name, asked, room, self.encoding.stride, max_length))
        found = tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=max_length,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        keys = [key for key in processor.keys if key in found]
        rows = {key: _filled(found[key], key, processor) for key in keys}
        for number, offsets in enumerate(found["offset_mapping"]):
            inside = [at for at, part in enumerate(found.sequence_ids(number)) if part == 1]
            tokens = {key: rows[key][number] for key in keys}
            places = [sign for at in inside for sign in offsets[at]]
            first = inside[0] if inside else 0
            yield tokens | {"window": number, "first": first, "offsets": places}


def _stride(encoding: WindowEncoding, room: int) -> int:
    """Tokens that two windows share, which have so many of the context."""
    return max(room, 0) // 3 if encoding.stride is None else encoding.stride


def _no_room(name: str, asked: int, room: int, stride: int | None, max_length: int) -> str:
    """Why no windows can be made."""
    needed = max_length - room + (stride or 0) + 1
    shared = f", fewer than encoding.stride: {stride} asks for" if stride and room > 0 else ""
    return (
        f"max_length: {max_length}, and the question of row {name!r} has {asked} tokens, which "
        f"leaves {max(room, 0)} for its context{shared}; allowed: from {needed} for this row"
    )
