"""Lists of words, as a model's own tokenizer cuts each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from kinds.contract import Composed, Example
from kinds.inputs.entity_spans import ANSWER, SPANS, TEXT, types_held
from kinds.inputs.text import Text, Tokenizer

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from finegrid.records.specification import Model

UNREAD = -1
"""The place of a word that no token stands for."""
_STARTS = "starts"
_PROBE = "the"
_BLANKS = ("", " ")


@dataclass(frozen=True)
class WordTokenizer(Tokenizer):
    """A tokenizer that cuts words one by one."""

    blank: str = ""
    """What has to stand before a word for the tokenizer to cut it as in the middle of a text."""


@dataclass(frozen=True)
class WordLists(Text):
    """A list of words a row; a batch is padded to its longest on the right.

    A word is cut as it is in the middle of a text, after a space. An example holds the place of
    each word's first token: -1 for a word behind the length, and for one that the tokenizer makes
    nothing of, as some do of signs that are not printed.
    """

    columns: ClassVar[tuple[str, ...]] = ("tokens",)
    optional: ClassVar[tuple[str, ...]] = ()
    composed: ClassVar[Mapping[str, Composed]] = {
        SPANS: Composed(
            ("tokens", "tags"), beside=(TEXT, ANSWER), optional=(ANSWER,), held=types_held
        )
    }

    def schema(self) -> pa.Schema:
        """Column `tokens`: the words of each row."""
        import pyarrow as pa

        return pa.schema([(name, pa.list_(pa.string())) for name in self.columns])

    def problems(self, rows: pa.Table) -> Iterator[str]:
        """Rows without a word, and words that are missing."""
        for row, words in zip(rows["id"], rows["tokens"], strict=True):
            if not len(words) or None in words.as_py():
                yield f"no words in row {row.as_py()!r}; allowed: a list of words"
                return

    def processor(self, folder: Path) -> WordTokenizer:
        """The tokenizer of the model in the folder.

        Raises ValueError for one that does not say which word a token is of.
        """
        found = super().processor(folder)
        if not found.tokenizer.is_fast:
            raise ValueError(
                f"the tokenizer {type(found.tokenizer).__name__} does not say which word a token "
                "is of; allowed: a model with a fast one, of the library tokenizers"
            )
        return WordTokenizer(found.tokenizer, found.keys, found.pad, _blank(found.tokenizer))

    def encode(self, rows: pa.Table, processor: Tokenizer, max_length: int) -> list[Example]:
        """Token ids, whatever else the model reads, and where each word begins."""
        if not isinstance(processor, WordTokenizer):
            raise TypeError("words are cut by the tokenizer that `processor` gives")
        words = rows["tokens"].to_pylist()
        given = [[processor.blank + word for word in row] for row in words]
        found = _cut(processor.tokenizer, given, truncation=True, max_length=max_length)
        _check_room(rows, found, processor, max_length)
        keys = [key for key in processor.keys if key in found]
        return [
            {key: found[key][at] for key in keys} | {_STARTS: _starts(found.word_ids(at), len(row))}
            for at, row in enumerate(words)
        ]

    def size(self, example: Example) -> int:
        """Its tokens, special ones among them."""
        return len(example["input_ids"])

    def left_out(self, example: Example) -> int:
        """The words that no token stands for."""
        return sum(int(place) == UNREAD for place in example[_STARTS])

    def units(self, examples: int, file_bytes: int, max_length: int, model: Model) -> int:
        """The file may hold a word once that stands in many rows: the length alone is a bound."""
        return examples * self.longest(max_length, model)

    def collate(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """Token ids, attention mask and whatever else the model reads: (batch, tokens)."""
        read = [{key: one[key] for key in one if key != _STARTS} for one in examples]
        return super().collate(read, fillers)

    def _texts(self, rows: pa.Table) -> Iterator[tuple[str, ...]]:
        for batch in rows.select(["tokens"]).to_batches():
            yield from ((" ".join(words),) for words in batch["tokens"].to_pylist())


def _cut(tokenizer: Any, words: list[list[str]], **how: Any) -> Any:
    """The library's encoding of lists of words.

    Some classes take none unless they put a space before each word themselves: `_blank` has that
    done already where it is due.
    """
    own = getattr(tokenizer, "add_prefix_space", None)
    tokenizer.add_prefix_space = True
    try:
        return tokenizer(words, is_split_into_words=True, **how)
    finally:
        tokenizer.add_prefix_space = own


def _blank(tokenizer: Any) -> str:
    """What makes of a lone word the tokens that it has in the middle of a text."""
    (whole,) = tokenizer([f"{_PROBE} {_PROBE}"], add_special_tokens=False)["input_ids"]
    for blank in _BLANKS:
        (alone,) = _cut(tokenizer, [[blank + _PROBE]], add_special_tokens=False)["input_ids"]
        if alone and whole[-len(alone) :] == alone and len(whole) <= 2 * len(alone):
            return blank
    return _BLANKS[0]


def _starts(word_ids: Sequence[int | None], count: int) -> list[int]:
    """The place of each word's first token, or -1."""
    places = [UNREAD] * count
    for place, word in reversed(list(enumerate(word_ids))):
        if word is not None:
            places[word] = place
    return places


def _check_room(rows: pa.Table, found: Any, processor: Tokenizer, max_length: int) -> None:
    """Refuse a row of which no word is read: it has no part in loss or score. Raises ValueError."""
    special = processor.tokenizer.num_special_tokens_to_add()
    for at in range(rows.num_rows):
        if all(word is None for word in found.word_ids(at)):
            raise ValueError(
                f"row {rows['id'][at].as_py()!r}: the tokenizer reads none of its words within "
                f"max_length: {max_length}, of which it takes {special} itself; allowed: a greater "
                "one, and rows with a word that it knows how to cut"
            )
