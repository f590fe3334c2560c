"""Prepared examples, encoded for a model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from finegrid.models.loading import CorruptedFileError
from finegrid.models.padding import padding_id
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import SPLITS, VECTOR_COLUMNS, PreparedTask, SplitName

Inputs = dict[str, torch.Tensor]


class Examples(ABC):
    """One split: identities, labels, and inputs by index."""

    def __init__(self, ids: list[str], labels: torch.Tensor, lengths: list[int]) -> None:
        self.ids, self.labels, self.lengths = ids, labels, lengths

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def inputs(self, indices: Sequence[int]) -> Inputs:
        """The model's inputs for these examples, first dimension the batch."""

    @property
    @abstractmethod
    def has_tokens(self) -> bool:
        """Whether `lengths` counts tokens."""


class TextExamples(Examples):
    """Tokenised texts; a batch is padded to its longest."""

    has_tokens = True

    def __init__(
        self, ids: list[str], labels: torch.Tensor, encoded: Mapping[str, list[list[int]]], pad: int
    ) -> None:
        super().__init__(ids, labels, [len(tokens) for tokens in encoded["input_ids"]])
        # The mask is of the lengths: not every tokenizer gives one.
        shown = {"attention_mask": [[1] * length for length in self.lengths]}
        self._encoded = dict(encoded) | shown
        self._padding = {"input_ids": pad}

    def inputs(self, indices: Sequence[int]) -> Inputs:
        """Token ids, attention mask and whatever else the tokenizer gives: (batch, sequence).

        Padding stands on the right, whichever side the tokenizer names: positions that are counted
        from the left do not depend on the batch then.
        """
        longest = max(self.lengths[i] for i in indices)
        return {
            key: torch.tensor(
                [
                    rows[i] + [self._padding.get(key, 0)] * (longest - self.lengths[i])
                    for i in indices
                ]
            )
            for key, rows in self._encoded.items()
        }


class VectorExamples(Examples):
    """Rows of numbers (n, features): the pixels of flat images, or any other values."""

    has_tokens = False

    def __init__(self, ids: list[str], labels: torch.Tensor, features: torch.Tensor) -> None:
        super().__init__(ids, labels, [1] * len(ids))
        self._features = features

    def inputs(self, indices: Sequence[int]) -> Inputs:
        """Features (batch, features)."""
        return {"features": self._features[list(indices)]}


def load_examples(
    folder: Path,
    task: PreparedTask,
    model_folder: Path,
    max_length: int,
    names: Sequence[SplitName] = SPLITS,
) -> dict[SplitName, Examples]:
    """Splits of a prepared task, encoded for the model in `model_folder`; no other is read.

    Texts are cut to `max_length` tokens. Raises CorruptedFileError for a changed file.
    """
    tables = {name: _read_split(folder, task, name) for name in names}
    dtype = torch.long if task.labels else torch.float32
    labels = {n: torch.tensor(t["label"].to_pylist(), dtype=dtype) for n, t in tables.items()}
    ids = {name: table["id"].to_pylist() for name, table in tables.items()}
    if column := VECTOR_COLUMNS.get(task.kind):
        return {n: VectorExamples(ids[n], labels[n], _rows(t[column])) for n, t in tables.items()}
    encoded, pad = _tokenize(tables, model_folder, max_length)
    return {n: TextExamples(ids[n], labels[n], encoded[n], pad) for n in tables}


def _read_split(folder: Path, task: PreparedTask, name: SplitName) -> pa.Table:
    path = folder / f"{name}.parquet"
    found = file_sha256(path)
    expected = task.splits[name].file_sha256
    if found != expected:
        raise CorruptedFileError(path, f"sha256 {found}, recorded {expected}")
    return pq.read_table(path)


def _rows(column: pa.ChunkedArray) -> torch.Tensor:
    return torch.from_numpy(np.stack(column.to_numpy()).astype(np.float32))


def _tokenize(
    tables: Mapping[SplitName, pa.Table], folder: Path, max_length: int
) -> tuple[dict[SplitName, Mapping[str, list[list[int]]]], int]:
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True
    )
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    pad = padding_id(config.to_dict(), folder)
    encoded: dict[SplitName, Mapping[str, list[list[int]]]] = {}
    for name, table in tables.items():
        columns = [table[c].to_pylist() for c in ("text", "text_pair") if c in table.column_names]
        _check_length(max_length, tokenizer.num_special_tokens_to_add(pair=len(columns) > 1))
        rows = tokenizer(*columns, truncation=True, max_length=max_length)
        encoded[name] = {
            key: _filled(rows[key], key, tokenizer, pad) for key in _read(config) if key in rows
        }
    return encoded, pad


def _check_length(max_length: int, special: int) -> None:
    """Refuse a length that leaves no token of a text: the library cuts nothing then."""
    if max_length <= special:
        raise ValueError(
            f"max_length: {max_length}, and the tokenizer adds {special} special tokens; "
            f"allowed: from {special + 1}"
        )


def _read(config: Any) -> tuple[str, ...]:
    """What the model reads of a tokenizer's rows, the mask aside.

    A model without types of tokens would take theirs for something else, as GPT-2 for tokens.
    """
    types = getattr(config, "type_vocab_size", None) or 0
    return ("input_ids", "token_type_ids") if types > 1 else ("input_ids",)


def _filled(rows: list[list[int]], key: str, tokenizer: Any, pad: int) -> list[list[int]]:
    """The rows; a text without any token is one token that starts or ends texts, or pads them."""
    starts = (tokenizer.bos_token_id, tokenizer.eos_token_id, pad)
    start = next(one for one in starts if one is not None)
    return [row or [start if key == "input_ids" else 0] for row in rows]
