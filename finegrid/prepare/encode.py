"""Encode a prepared task once for all runs that read it: splits first, the manifest last."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import chain, compress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from finegrid.prepare.packing import packed
from finegrid.records.damage import (
    CorruptedFileError,
    check_complete,
    check_files,
    read_manifest,
    set_aside,
)
from finegrid.records.encoded import Encoded, EncodedSplit, Encoding, Processor, encoded_file
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import MANIFEST_FILE, PreparedModel, PreparedTask, SplitName
from finegrid.records.registry import UnknownNameError
from finegrid.records.write import atomic_path, remove_unfinished
from finegrid.training.encoding import encoded_rows
from kinds.contract import Example, Kind
from kinds.registry import kind_named

_WEIGHTS = ".safetensors"
_CHUNK_ROWS, _CHUNK_UNITS, _CHUNK_BYTES = 1 << 10, 1 << 18, 1 << 24
"""Examples that are encoded at a time, at the most: they bound the memory, and change no result."""


class _Chunk(NamedTuple):
    """Encoded examples, and what was lost of them, by the names that an `EncodedSplit` has."""

    rows: pa.RecordBatch
    lost: Counter[str]


@dataclass
class _Counted:
    """The rows of chunks; `lost` adds up what was lost."""

    chunks: Iterator[_Chunk]
    lost: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for chunk in self.chunks:
            self.lost.update(chunk.lost)
            yield chunk.rows


@dataclass(frozen=True)
class _Encoder:
    """What turns rows of a task into encoded examples."""

    kind: Kind
    max_length: int
    processor: Any = None
    made_of: Processor | None = None

    def encode(self, rows: pa.Table, split: SplitName) -> _Chunk:
        """The rows of a split, encoded; of the training split what is learnt.

        Raises ValueError for a length that leaves nothing of an example.
        """
        inputs = self.kind.inputs.encode(rows, self.processor, self.max_length)
        targets = self.kind.output.encode(rows, inputs, self.processor, self.max_length)
        encoded = encoded_rows(self.kind, rows["id"].to_pylist(), inputs, targets)
        kept = [split != "train" or self.kind.output.is_learnt(target) for target in targets]
        lost = Counter[str]()
        for one, target in compress(zip(inputs, targets, strict=True), kept):
            lost.update(self._lost(one, target))
        return _Chunk(encoded if all(kept) else encoded.filter(pa.array(kept)), lost)

    def _lost(self, example: Example, target: Example) -> dict[str, int]:
        inputs, output = self.kind.inputs, self.kind.output
        is_cut = bool(inputs.left_out(example) or output.left_out(target))
        is_altered = not is_cut and output.is_altered(target, self.processor)
        unknown = inputs.unknown(example, self.processor)
        return {"cut": int(is_cut), "altered": int(is_altered), "unknown": unknown}


def encode_task(encoding: Encoding, destination: Path, prepared: Path, model: str = "") -> Encoded:
    """Write `<split>.arrow` for every split and then the manifest; returns the manifest.

    `prepared` holds the prepared tasks and models; `model` is the key of the one whose processor
    encodes, if there is one. Raises CorruptedFileError for a task or a model that is not the one
    that was prepared, ValueError for a length that leaves nothing of an example, UnknownNameError
    for a kind that is not registered, and OSError.
    """
    source = prepared / "tasks" / encoding.task
    task = read_manifest(PreparedTask, source)
    encoder = _encoder(
        kind_named(task.kind, task.kind_options), encoding, prepared / "models" / model
    )
    (destination / MANIFEST_FILE).unlink(missing_ok=True)
    destination.mkdir(parents=True, exist_ok=True)
    remove_unfinished(destination)
    splits = {name: _encode_split(name, encoder, source, task, destination) for name in task.splits}
    inputs = encoder.kind.inputs
    manifest = Encoded(
        key=encoding.key,
        kind=task.kind,
        max_length=encoding.max_length,
        data_sha256=task.sha256,
        processor=encoder.made_of,
        fillers=inputs.fillers(encoder.processor),
        packages={name: version(name) for name in inputs.packages},
        splits=splits,
    )
    manifest.write(destination / MANIFEST_FILE)
    return manifest


def _encoder(kind: Kind, encoding: Encoding, folder: Path) -> _Encoder:
    """With the processor of the model in the folder, if models have a say."""
    if encoding.processor is None:
        return _Encoder(kind, encoding.max_length)
    files = read_manifest(PreparedModel, folder).files
    check_files(folder, {name: one for name, one in files.items() if not name.endswith(_WEIGHTS)})
    check_complete(folder, files)
    inputs = kind.inputs
    return _Encoder(kind, encoding.max_length, inputs.processor(folder), inputs.made_of(folder))


def _encode_split(
    name: SplitName, encoder: _Encoder, source: Path, task: PreparedTask, destination: Path
) -> EncodedSplit:
    file, path = f"{name}.parquet", destination / encoded_file(name)
    check_files(source, {file: task.splits[name].file_sha256})
    count = units = longest = 0
    with atomic_path(path) as temporary:
        counted = _Counted(_chunks(source / file, encoder, name))
        chunks = iter(counted)
        if name == "train" and encoder.kind.inputs.packs:
            chunks = packed(encoder.kind, chunks, encoder.max_length)
        first = next(chunks)
        with pa.ipc.new_file(str(temporary), first.schema) as writer:
            for chunk in chain((first,), chunks):
                writer.write_batch(chunk)
                sizes = chunk["size"].to_numpy()
                count, units = count + len(sizes), units + int(sizes.sum())
                longest = max(longest, int(sizes.max()))
    return EncodedSplit(
        n=count, units=units, longest=longest, file_sha256=file_sha256(path), **counted.lost
    )


def _chunks(file: Path, encoder: _Encoder, split: SplitName) -> Iterator[_Chunk]:
    """The rows of a split, encoded a few at a time."""
    with pq.ParquetFile(file) as rows:
        count = _chunk_rows(rows.metadata, encoder)
        for batch in rows.iter_batches(batch_size=count):
            yield encoder.encode(pa.Table.from_batches([batch]), split)


def _chunk_rows(metadata: Any, encoder: _Encoder) -> int:
    """How many rows are encoded at a time, by the units that they may have and by their bytes."""
    groups = range(metadata.num_row_groups)
    file_bytes: int = sum(metadata.row_group(at).total_byte_size for at in groups)
    row_bytes: int = max(1, file_bytes // metadata.num_rows)
    bounds = _CHUNK_ROWS, _CHUNK_UNITS // encoder.max_length, _CHUNK_BYTES // row_bytes
    return max(1, min(bounds))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, 65 for wrong data, or 74 where reading or writing fails."""
    options = _parser().parse_args(arguments)
    try:
        text = sys.stdin.read() if options.spec == "-" else Path(options.spec).read_text("utf-8")
        encoding = Encoding.model_validate_json(text)
        model = "".join(path.read_text("utf-8") for path in options.processor)
        done = encode_task(encoding, options.output, options.prepared, model)
    except CorruptedFileError as error:
        return _fail(os.EX_DATAERR, f"{error}; {set_aside(error.folder)}")
    except OSError as error:
        return _fail(os.EX_IOERR, str(error))
    except (ValidationError, UnknownNameError, ValueError) as error:
        return _fail(os.EX_DATAERR, str(error))
    sizes = (_sentence(name, one) for name, one in done.splits.items())
    sys.stderr.write(f"{done.key}: {'; '.join(sizes)}\n")
    return os.EX_OK


def _sentence(name: str, one: EncodedSplit) -> str:
    cut = f", {one.cut} of them cut" if one.cut else ""
    unknown = f", {one.unknown} of them unknown" if one.unknown else ""
    altered = f", {one.altered} targets altered" if one.altered else ""
    return f"{name} {one.n} examples{cut}, {one.units} units{unknown}{altered}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m finegrid.prepare.encode", description=__doc__)
    parser.add_argument(
        "--spec", required=True, help="the encoding as JSON: a file, or - for stdin"
    )
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    parser.add_argument("--prepared", required=True, type=Path, help="prepared tasks and models")
    parser.add_argument(
        "--processor",
        type=Path,
        nargs="*",
        default=[],
        help="a file with the key of the model that encodes, if one does",
    )
    return parser


def _fail(code: int, message: str) -> int:
    sys.stderr.write(f"encode: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
