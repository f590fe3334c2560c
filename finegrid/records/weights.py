"""The weights of a checkpoint as its files name them. Read from their headers, without torch.

A safetensors file begins with the length of its header in 8 bytes, little-endian, and the header
in JSON: name -> type, shape and place of the bytes behind it. Weights in several files, shards,
have an index beside them: name -> file.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finegrid.records.write import atomic_path, write_text

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = f"{WEIGHTS_FILE}.index.json"
Shape = tuple[int, ...]
_ENDING = ".safetensors"
_LENGTH_BYTES = 8
_LARGEST_HEADER_BYTES = 100_000_000
_METADATA = "__metadata__"


class WeightsError(ValueError):
    """Weights that cannot be read, or that are not those of the model that they are said to be."""


def weight_files(files: Mapping[str, Path]) -> dict[str, Path]:
    """Of a model's files those that hold its weights: one, or the shards that its index names.

    Raises WeightsError that names what is missing.
    """
    if WEIGHTS_FILE in files:
        return {WEIGHTS_FILE: files[WEIGHTS_FILE]}
    if INDEX_FILE not in files:
        raise WeightsError(
            f"no {WEIGHTS_FILE}; pickled weights, such as pytorch_model.bin, are never read; "
            f"allowed: weights saved as safetensors, in one file or in shards with {INDEX_FILE}"
        )
    names = shards(files[INDEX_FILE])
    if missing := [name for name in names if name not in files]:
        raise WeightsError(
            f"{INDEX_FILE} names {', '.join(missing)}, which is not there; allowed: all its shards"
        )
    return {name: files[name] for name in names}


def shards(index: Path) -> list[str]:
    """The files that an index names. Raises WeightsError for an index that is none."""
    names = sorted(set(_weight_map(index).values()))
    for name in names:
        if not name.endswith(_ENDING) or "/" in name or "\\" in name:
            raise WeightsError(
                f"{INDEX_FILE} names {name!r}; allowed: names of files beside it that end in "
                f"{_ENDING}"
            )
    if not names:
        raise WeightsError(f"{INDEX_FILE} names no file")
    return names


def stored_shapes(files: Mapping[str, Path]) -> dict[str, Shape]:
    """Name -> shape of every weight in a model's files. Raises WeightsError as above.

    Also for a file that is cut short, and where the index names a weight that its shard lacks.
    """
    found = {name: _header(path) for name, path in weight_files(files).items()}
    if WEIGHTS_FILE not in files:
        for weight, shard in _weight_map(files[INDEX_FILE]).items():
            if weight not in found[shard]:
                raise WeightsError(f"{INDEX_FILE} has {weight} in {shard}, which lacks it")
    entries = (item for header in found.values() for item in header.items())
    return {name: tuple(entry["shape"]) for name, entry in entries if name != _METADATA}


def rename_weights(files: Mapping[str, Path], names: Mapping[str, str]) -> None:
    """Give the weights in a model's files other names, in place; `names` has old -> new."""
    for path in weight_files(files).values():
        header = {names.get(name, name): entry for name, entry in _header(path).items()}
        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded += b" " * (-len(encoded) % _LENGTH_BYTES)
        with path.open("rb") as old, atomic_path(path) as temporary, temporary.open("wb") as new:
            old.seek(_LENGTH_BYTES + _header_bytes(path))
            new.write(len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded)
            shutil.copyfileobj(old, new)
    if WEIGHTS_FILE not in files:
        index: dict[str, Any] = json.loads(files[INDEX_FILE].read_text(encoding="utf-8"))
        index["weight_map"] = {names[name]: file for name, file in index["weight_map"].items()}
        write_text(files[INDEX_FILE], json.dumps(index, indent=1) + "\n")


def _weight_map(index: Path) -> dict[str, str]:
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        return {str(name): str(file) for name, file in content["weight_map"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{INDEX_FILE} is no index of weights: {error!r}") from error


def _header(path: Path) -> dict[str, Any]:
    length = _header_bytes(path)
    try:
        with path.open("rb") as file:
            file.seek(_LENGTH_BYTES)
            header: dict[str, Any] = json.loads(file.read(length))
        end = max(_ends(header), default=0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path.name} is no safetensors file: {error!r}") from error
    size, expected = path.stat().st_size, _LENGTH_BYTES + length + end
    if size != expected:
        raise WeightsError(f"{path.name} has {size} bytes, its header says {expected}")
    return header


def _ends(header: Mapping[str, Any]) -> Iterator[int]:
    for name, entry in header.items():
        if name != _METADATA:
            yield int(entry["data_offsets"][1])


def _header_bytes(path: Path) -> int:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if not 0 < length <= _LARGEST_HEADER_BYTES:
        raise WeightsError(f"{path.name} is no safetensors file: its header has {length} bytes")
    return length
