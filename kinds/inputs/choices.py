"""A question with each of its choices, as a model's own tokenizer cuts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar

from kinds.contract import Example
from kinds.inputs.text import LEFT_OUT, Text, Tokenizer

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from finegrid.records.specification import Model
    from kinds.inputs.duplicates import Comparison

_LENGTHS = "lengths"


@dataclass(frozen=True)
class AskedChoices(Text):
    """The columns of a question with its choices, however a model reads them."""

    columns: ClassVar[tuple[str, ...]] = ("context", "question")
    optional: ClassVar[tuple[str, ...]] = ("context",)

    choices: int | None = None
    """The most choices of a question; None where a task does not say."""

    @property
    def most(self) -> int:
        """The most choices. Raises ValueError where the task does not say."""
        if self.choices is None:
            raise ValueError("choices: not said; allowed: the most choices of a question, from 2")
        return self.choices

    def schema(self) -> pa.Schema:
        """Columns `context`, `question` and `choices`, a list of texts."""
        import pyarrow as pa

        return super().schema().append(pa.field("choices", pa.list_(pa.string())))

    def problems(self, rows: pa.Table) -> Iterator[str]:
        """Fewer than two choices, or more than the task says."""
        import pyarrow.compute as pc

        counts = pc.list_value_length(rows["choices"]).to_numpy()
        wrong = ((counts < 2) | (counts > self.most)).nonzero()[0].tolist()
        if wrong:
            first = f"{counts[wrong[0]]} in row {rows['id'][wrong[0]].as_py()!r}"
            yield f"choices: {first} ({len(wrong)} such rows); allowed: 2 to {self.most}"

    def compare(self) -> Comparison:
        """By the words of context, question and choices."""
        from kinds.inputs.duplicates import TEXT_DEFINITION, Comparison, readings, text_matches

        def read(rows: pa.Table) -> list[str]:
            choices = map(" ".join, rows["choices"].to_pylist())
            return readings(
                (*texts, one) for texts, one in zip(self._texts(rows), choices, strict=True)
            )

        return Comparison(TEXT_DEFINITION, read, text_matches)

    def units(self, examples: int, file_bytes: int, max_length: int, model: Model) -> int:
        """A context is read with each choice: the length alone is a bound."""
        return examples * max_length * self.most


@dataclass(frozen=True)
class Choices(AskedChoices):
    """One sequence a choice: the context and then the question with the choice, as a pair.

    Without a context the question is the first of the pair and the choice the second. Sequences
    that are longer than `max_length` lose tokens of the longer of both. All examples of a task have
    as many sequences: those that a question has no choice for hold one token that pads, and what a
    model says of them counts for nothing. The size of an example is that of all its sequences.
    """

    def encode(self, rows: pa.Table, processor: Tokenizer, max_length: int) -> list[Example]:
        """Token ids and what else the model reads, choice after choice, and the length of each.

        `max_length` counts the tokens of all sequences. Raises ValueError for a length that leaves
        nothing of a pair.
        """
        length, choices = max_length // self.most, rows["choices"].to_pylist()
        special = processor.tokenizer.num_special_tokens_to_add(pair=True)
        if length <= special + 1:
            raise ValueError(
                f"max_length: {length}, and the tokenizer adds {special} special tokens to a "
                f"pair; allowed: from {special + 2}"
            )
        pairs = list(_pairs(rows, choices))
        found = processor.tokenizer(*map(list, zip(*pairs, strict=True)))
        lengths = map(len, found["input_ids"])
        cut = processor.tokenizer(
            *map(list, zip(*pairs, strict=True)), truncation=True, max_length=length
        )
        columns = {key: iter(cut[key]) for key in processor.keys if key in cut}
        return [_example(columns, lengths, len(own)) for own in choices]

    def size(self, example: Example) -> int:
        """The tokens of all its sequences, padded to the longest of them."""
        return self.most * int(max(example[_LENGTHS]))

    def longest(self, max_length: int, model: Model) -> int:
        """So many tokens a choice."""
        return max_length * self.most

    def collate(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """Token ids, mask and whatever else there is: (batch, choices, tokens)."""
        import numpy as np
        import torch

        lengths = np.zeros((len(examples), self.most), dtype=np.int64)
        for row, example in zip(lengths, examples, strict=True):
            row[: len(example[_LENGTHS])] = example[_LENGTHS]
        filled = np.arange(lengths.max()) < lengths[..., None]  # (batch, choices, tokens)
        batch = {}
        for key in (key for key in examples[0] if key not in (_LENGTHS, LEFT_OUT)):
            padded = np.empty(filled.shape, dtype=np.int64)
            padded.fill(fillers.get(key, 0))
            padded[filled] = np.concatenate([example[key] for example in examples])
            batch[key] = torch.from_numpy(padded)
        filled[lengths == 0, 0] = True  # attention to nothing is not defined
        return batch | {"attention_mask": torch.from_numpy(filled.astype(np.int64))}

    def blank(self, count: int, size: int, configuration: Any) -> dict[str, torch.Tensor]:
        """Zeros, (count, choices, size / choices), for all that the model reads."""
        flat = super().blank(count, size, configuration)
        return {key: rows.view(count, self.most, -1) for key, rows in flat.items()}


def _pairs(rows: pa.Table, choices: Sequence[Sequence[str]]) -> Iterator[tuple[str, str]]:
    """The two texts of each sequence."""
    names = rows.column_names
    contexts = rows["context"].to_pylist() if "context" in names else [""] * rows.num_rows
    for context, question, own in zip(contexts, rows["question"].to_pylist(), choices, strict=True):
        is_asked = bool(context.strip() and question.strip())
        first = context if context.strip() else question
        yield from ((first, f"{question} {one}" if is_asked else one) for one in own)


def _example(columns: Mapping[str, Iterator[Any]], whole: Iterator[int], count: int) -> Example:
    """The next so many sequences as one example."""
    parts = {key: list(islice(rows, count)) for key, rows in columns.items()}
    lengths = [len(ids) for ids in parts["input_ids"]]
    found: Example = {key: list(chain.from_iterable(rows)) for key, rows in parts.items()}
    left_out = sum(islice(whole, count)) - sum(lengths)
    return found | {_LENGTHS: lengths, LEFT_OUT: left_out}
