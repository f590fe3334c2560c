"""GGUF files: which source names one, and what stands in its header. Loads no torch."""

from __future__ import annotations

import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from finegrid.prepare.downloads import ENDS, is_archived
from finegrid.records.specification import Source

GGUF_END = ".gguf"
PACKAGE = "gguf"
MISSING = (
    "a GGUF file is read with the package gguf, which is not installed; "
    "allowed: pip install 'finegrid[gguf]'"
)
PRINTED_BY = "python -m finegrid.prepare.gguf_checkpoint"
"""The command that prints what a benchmark says of the model of a GGUF file."""
_BITS = re.compile(r"[A-Z]*Q(\d+)|[A-Z]+FP(\d+)")
"""Names of quantised types, with their nominal bits: Q4_1, Q6_K, IQ2_XS, TQ1_0, MXFP4."""


class GgufError(ValueError):
    """A GGUF file that cannot be read, or a source that names more than one file."""


def gguf_name(source: Source) -> str | None:
    """The GGUF file that a source names, by its URI or by its hashes; None where there is none.

    Raises GgufError for a source with a GGUF file and others: it brings all that a model has.
    """
    by_uri = [PurePosixPath(source.uri).name] if source.uri.endswith(GGUF_END) else []
    by_hash = [name for name in source.sha256 if name.endswith(GGUF_END)]
    names = list(dict.fromkeys([*by_uri, *by_hash]))
    if not names:
        return None
    ends = tuple(ENDS.values()) if is_archived(source.uri) else ()
    listed = [name for name in source.sha256 if not name.endswith(ends)]
    if len(names) > 1 or set(listed) - set(names):
        beside = ", ".join(sorted({*names, *listed}))
        raise GgufError(f"{source.uri} names {beside}; allowed: one GGUF file alone, in one part")
    return names[0]


def has_package() -> bool:
    """Whether the package that reads GGUF files is installed."""
    return find_spec(PACKAGE) is not None


def dequantised(path: Path) -> str | None:
    """What the weights were de-quantised from, by the types of the tensors in a GGUF file.

    The bits are the nominal ones of the quantised type that holds most numbers; the shares are
    those of all numbers. None where no type is quantised. Raises GgufError.
    """
    counts = Counter[str]()
    for tensor in _reader(path).tensors:
        counts[tensor.tensor_type.name] += int(tensor.n_elements)
    quantised = {name: match for name in counts if (match := _BITS.match(name))}
    if not quantised:
        return None
    most = max(quantised, key=lambda name: counts[name])
    bits = next(filter(None, quantised[most].groups()))
    total = counts.total()
    shares = (f"{name} {100 * count / total:.1f} %" for name, count in counts.most_common())
    return f"de-quantised from {bits} bits ({', '.join(shares)} of the numbers)"


def architecture(path: Path) -> str:
    """What a GGUF file calls the architecture of its model. Raises GgufError."""
    field = _reader(path).fields.get("general.architecture")
    if field is None:
        raise GgufError(f"{path.name} does not say general.architecture")
    return str(field.contents())


def _reader(path: Path) -> Any:
    """Raises GgufError for a file that is none, or was cut off."""
    from gguf import GGUFReader

    try:
        return GGUFReader(path)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        line = " ".join(str(error).split())
        raise GgufError(f"{path.name} is no whole GGUF file: {line}") from error
