"""Texts and pairs of texts, as a model's own tokenizer cuts them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from finegrid.models.anatomy import Reads
from kinds.contract import Example, Inputs, Unit

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from pydantic import JsonValue

    from finegrid.records.encoded import Processor
    from finegrid.records.specification import Model, Source
    from kinds.inputs.duplicates import Comparison

LEFT_OUT = "left_out"
"""What stands beside an example's tokens: how many more its texts had."""
_BATCH_ROWS = 1 << 12
"""Rows that are held as Python's own values at a time."""
_TOKEN_BYTES = 52
"""At the most, of a token on the host: its id where it is read, and in batches with their masks."""
_CONFIGURATION_FILE = "config.json"
_NOT_READ = (".safetensors", ".safetensors.index.json", "generation_config.json")
"""Ends of the names of files that are none of a tokenizer's."""
_ENTRIES = (
    *("model_type", "model_name", "_name_or_path", "tokenizer_class"),
    *("type_vocab_size", "pad_token_id", "bos_token_id", "eos_token_id"),
)
"""Entries of a configuration that decide the tokenizer's class in transformers 5, what the model
reads of its rows, and the id that pads."""


@dataclass(frozen=True)
class Tokenizer:
    """A model's tokenizer, and what the model reads of its rows."""

    tokenizer: Any
    """Of transformers."""
    keys: tuple[str, ...]
    """What the model reads of a tokenizer's rows, the mask aside."""
    pad: int
    """The id that pads."""
    turn_end: int | None = field(default=None, kw_only=True)
    """The id that ends an answer by a chat template, where that has a say."""
    starts: int | None = field(default=None, kw_only=True)
    """The id that a text begins with, whatever it says, where the tokenizer gives its language."""

    @property
    def end(self) -> int:
        """The id that ends a text. Raises ValueError where the tokenizer names none."""
        if (found := self.tokenizer.eos_token_id) is None:
            raise ValueError("the tokenizer names no token that ends a text; allowed: an eos_token")
        return int(found)

    @property
    def unknown(self) -> int | None:
        """The id of what the vocabulary lacks; None without one, and where it is more than that.

        The one special token of GPT-2 stands for the unknown too, which its bytes never are.
        """
        found: int | None = self.tokenizer.unk_token_id
        others = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.pad)
        return None if found in others else found

    @property
    def ends(self) -> tuple[int, ...]:
        """The ids that end what a model writes: first the one that it learns to end a text with."""
        turn = () if self.turn_end is None else (self.turn_end,)
        return tuple(dict.fromkeys((*turn, self.end)))

    @property
    def first(self) -> int:
        """The id that stands where there is no token: one that starts or ends texts, or pads."""
        found = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.pad)
        return next(one for one in found if one is not None)


@dataclass(frozen=True)
class Text(Inputs):
    """A text a row, or two; a batch is padded to its longest."""

    modality: ClassVar[Reads] = "text"
    unit: ClassVar[Unit] = "token"
    columns: ClassVar[tuple[str, ...]] = ("text", "text_pair")
    """The columns of texts, which are encoded together."""
    optional: ClassVar[tuple[str, ...]] = ("text_pair",)
    packages: ClassVar[tuple[str, ...]] = ("tokenizers", "transformers")

    def schema(self) -> pa.Schema:
        """Columns `text` and, for pairs, `text_pair`."""
        import pyarrow as pa

        return pa.schema([(name, pa.string()) for name in self.columns])

    def compare(self) -> Comparison:
        """By the words of a text, or of both texts of a pair."""
        from kinds.inputs.duplicates import TEXT_DEFINITION, Comparison, readings, text_matches

        return Comparison(TEXT_DEFINITION, lambda rows: readings(self._texts(rows)), text_matches)

    def processor(self, folder: Path) -> Tokenizer:
        """The tokenizer of the model in the folder."""
        from transformers import AutoConfig, AutoTokenizer

        from finegrid.models.padding import padding_id

        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        return Tokenizer(tokenizer, _read(config), padding_id(config.to_dict(), folder))

    def planned(self, model: Model) -> Processor:
        """The hashes of the files, where the source lists them, and what the configuration says.

        The configuration of a checkpoint of the Hub may be planned in part: its file counts whole.
        """
        from finegrid.records.specification import RandomModel, model_key

        source: Source | None = getattr(
            model, "tokenizer" if isinstance(model, RandomModel) else "source", None
        )
        if source is None or not (files := _of_tokenizer(source.sha256)):
            return {"model": model_key(model)}
        if isinstance(model, RandomModel) or not source.uri.startswith("hub:"):
            return {"files": files, "configuration": _entries(model.configuration)}
        if _CONFIGURATION_FILE not in source.sha256:
            return {"model": model_key(model)}
        return {"files": files, "configuration": source.sha256[_CONFIGURATION_FILE]}

    def made_of(self, folder: Path) -> Processor:
        """The hashes of the tokenizer's files, and the entries of the configuration."""
        from finegrid.records.damage import read_manifest
        from finegrid.records.prepared import PreparedModel

        files = _of_tokenizer(read_manifest(PreparedModel, folder).files)
        content = json.loads((folder / _CONFIGURATION_FILE).read_text(encoding="utf-8"))
        return {"files": files, "configuration": _entries(content)}

    def fillers(self, processor: Tokenizer) -> dict[str, int]:
        """The id that pads."""
        return {"input_ids": processor.pad}

    def encode(self, rows: pa.Table, processor: Tokenizer, max_length: int) -> list[Example]:
        """Token ids, whatever else the model reads of what the tokenizer gives, and a count.

        The longer text of a pair is cut first, as the library does.
        """
        texts = [rows[name].to_pylist() for name in self.columns if name in rows.column_names]
        special = processor.tokenizer.num_special_tokens_to_add(pair=len(texts) > 1)
        _check_length(max_length, special)
        found = processor.tokenizer(*texts, truncation=True, max_length=max_length)
        filled = {
            key: _filled(found[key], key, processor) for key in processor.keys if key in found
        }
        lacking = _left_out(texts, found["input_ids"], processor, max_length)
        columns = zip(*filled.values(), lacking, strict=True)
        return [dict(zip((*filled, LEFT_OUT), values, strict=True)) for values in columns]

    def encoded(self, example: Example) -> pa.Schema:
        """Lists of 32-bit integers, and a count."""
        import pyarrow as pa

        types = {name: pa.list_(pa.int32()) for name in example}
        return pa.schema(types | ({LEFT_OUT: pa.int32()} if LEFT_OUT in example else {}))

    def left_out(self, example: Example) -> int:
        """The tokens that its texts have beyond the length."""
        return int(example[LEFT_OUT])

    def unknown(self, example: Example, processor: Tokenizer) -> int:
        """The tokens that stand for what the vocabulary lacks."""
        return list(example["input_ids"]).count(processor.unknown)

    def size(self, example: Example) -> int:
        """Its tokens, special ones among them."""
        return len(example["input_ids"])

    def longest(self, max_length: int, model: Model) -> int:
        """The length that texts are cut to."""
        return max_length

    def units(self, examples: int, file_bytes: int, max_length: int, model: Model) -> int:
        """No token is less than a byte of the file."""
        return min(super().units(examples, file_bytes, max_length, model), file_bytes)

    def unit_bytes(self, model: Model) -> int:
        """Those of a token."""
        return _TOKEN_BYTES

    def collate(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """Token ids, attention mask and whatever else there is: (batch, tokens).

        Padding stands on the right, whichever side the tokenizer names: positions that are counted
        from the left do not depend on the batch then. The mask is of the lengths: not every
        tokenizer gives one.
        """
        import numpy as np
        import torch

        lengths = np.array([self.size(example) for example in examples])
        mask = np.arange(lengths.max()) < lengths[:, None]  # (batch, tokens)
        batch = {}
        for key in (key for key in examples[0] if key != LEFT_OUT):
            padded = np.empty(mask.shape, dtype=np.int64)
            padded.fill(fillers.get(key, 0))
            padded[mask] = np.concatenate([example[key] for example in examples])
            batch[key] = torch.from_numpy(padded)
        return batch | {"attention_mask": torch.from_numpy(mask.astype(np.int64))}

    def blank(self, count: int, size: int, configuration: Any) -> dict[str, torch.Tensor]:
        """Zeros, (count, size), for all that the model reads."""
        import torch

        keys = (*_read(configuration), "attention_mask")
        return {key: torch.zeros(count, size, dtype=torch.long) for key in keys}

    def _texts(self, rows: pa.Table) -> Iterator[tuple[str, ...]]:
        """One text or a pair, for each example."""
        names = [name for name in self.columns if name in rows.column_names]
        for batch in rows.select(names).to_batches(max_chunksize=_BATCH_ROWS):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _of_tokenizer(files: Mapping[str, str]) -> dict[str, JsonValue]:
    """The hashes of the files that a tokenizer may be read from, by their names."""
    return {
        name: sha256
        for name, sha256 in files.items()
        if name != _CONFIGURATION_FILE and not name.endswith(_NOT_READ)
    }


def _entries(configuration: Mapping[str, Any]) -> dict[str, JsonValue]:
    """What a model's configuration says that decides how its tokenizer encodes and pads."""
    found = {key: configuration[key] for key in _ENTRIES if key in configuration}
    pad = configuration.get("pad_token_id")
    if pad is None or pad < 0:  # then it is looked for among the ids that the model has
        found["vocab_size"] = configuration.get("vocab_size")
    # What an older library has written, a newer one may mend.
    found["transformers"] = str(configuration.get("transformers_version", "")).split(".")[0]
    return found


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


def _left_out(
    texts: Sequence[list[str]], cut: list[list[int]], processor: Tokenizer, max_length: int
) -> list[int]:
    """How many tokens each row had before it was cut to the length."""
    filled = [at for at, ids in enumerate(cut) if len(ids) == max_length]
    found = [0] * len(cut)
    if filled:
        own = [[column[at] for at in filled] for column in texts]
        # without the warning that a model cannot read so many tokens, which none is given
        whole = processor.tokenizer(*own, verbose=False)["input_ids"]
        for at, ids in zip(filled, whole, strict=True):
            found[at] = len(ids) - max_length
    return found


def _filled(rows: list[list[int]], key: str, processor: Tokenizer) -> list[list[int]]:
    """The rows; a text without any token is one token that starts or ends texts, or pads them."""
    return [row or [processor.first if key == "input_ids" else 0] for row in rows]
