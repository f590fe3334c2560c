"""A reader of the file that an offline run of Weights & Biases leaves.

The file is a LevelDB log: blocks of 32 KiB; in them records of a CRC (4 bytes), a length (2) and a
type (1: full, 2: first, 3: middle, 4: last); each whole record is one protocol-buffer message.
"""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

_FILE_HEADER, _BLOCK, _HEADER = 7, 32 * 1024, 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


@dataclass
class Mirror:
    """What an offline run holds."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


def read_mirror(folder: Path) -> Mirror:
    """The mirror in `wandb/offline-run-*` below the folder; there must be one."""
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    mirror = Mirror()
    for data in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        _take(mirror, record)
    return mirror


def _take(mirror: Mirror, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "run":
        mirror.run = record.run
        mirror.config |= _values(record.run.config.update)
    elif kind == "config":
        mirror.config |= _values(record.config.update)
    elif kind == "history":
        mirror.history.append(_values(record.history.item))
    elif kind == "summary":
        mirror.summary |= _values(record.summary.update)
    elif kind == "exit":
        mirror.exit_code = record.exit.exit_code


def _values(items: Any) -> dict[str, Any]:
    return {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}


def _records(content: bytes) -> Iterator[bytes]:
    if content[:4] != b":W&B":
        raise ValueError("no file of Weights & Biases")
    position, parts = _FILE_HEADER, b""
    while position + _HEADER <= len(content):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:
            position += left
            continue
        kind, data = _fragment(content, position)
        position += _HEADER + len(data)
        parts = data if kind in (_FULL, _FIRST) else parts + data
        if kind in (_FULL, _LAST):
            yield parts


def _fragment(content: bytes, position: int) -> tuple[int, bytes]:
    header = content[position : position + _HEADER]
    crc, length = int.from_bytes(header[:4], "little"), int.from_bytes(header[4:6], "little")
    kind = header[6]
    data = content[position + _HEADER : position + _HEADER + length]
    if kind not in (_FULL, _FIRST, _MIDDLE, _LAST) or crc != zlib.crc32(
        data, zlib.crc32(header[6:])
    ):
        raise ValueError(f"damaged record at byte {position}")
    return kind, data
