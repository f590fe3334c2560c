"""Layouts of fused layers: which rows of one matrix belong to which role.

Each function makes a rule that a family holds against a layer's last name. A rule gets the
configuration of the (sub-)model that holds the layer, and the number of the layer's outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from finegrid.models.anatomy import Rows

Fused = Callable[[Any, int], Mapping[str, Rows]]


class LayoutError(ValueError):
    """A fused layer whose size is not the one that its family's layout asks for."""


def even(*roles: str) -> Fused:
    """Parts of one size, side by side: thirds of q, k, v; halves of gate and up."""
    return in_blocks(1, *roles)


def in_blocks(count: int, *roles: str) -> Fused:
    """So many blocks one after the other, each with parts of one size."""
    return lambda _, outputs: repeated(
        outputs, count, {role: outputs // (count * len(roles)) for role in roles}
    )


def by_head(*roles: str) -> Fused:
    """Head after head, each with parts of one size: q, k, v of head 0, then those of head 1."""
    return lambda configuration, outputs: in_blocks(heads(configuration), *roles)(
        configuration, outputs
    )


def alternating(*roles: str) -> Fused:
    """Single rows in turn: the first of each role, then the second of each."""
    return lambda _, outputs: repeated(outputs, outputs // len(roles), dict.fromkeys(roles, 1))


def uneven(configuration: Any, outputs: int) -> Mapping[str, Rows]:
    """The queries of all heads, then the keys, then the values, of fewer heads."""
    size, keys = head_size(configuration), key_heads(configuration)
    parts = {"q": size * heads(configuration), "k": size * keys, "v": size * keys}
    return repeated(outputs, 1, parts)


def repeated(outputs: int, count: int, lengths: Mapping[str, int]) -> Mapping[str, Rows]:
    """The rows of parts of these lengths, side by side, `count` times.

    Raises LayoutError where they do not add up to the outputs.
    """
    stride = sum(lengths.values())
    if stride * count != outputs:
        parts = ", ".join(f"{role} {length}" for role, length in lengths.items())
        raise LayoutError(f"a fused layer has {outputs} outputs, not {count} times ({parts})")
    rows, start = dict[str, Rows](), 0
    for role, length in lengths.items():
        repeats = {"stride": stride, "count": count} if count > 1 else {}
        rows[role] = Rows(start=start, length=length, **repeats)
        start += length
    return rows


def heads(configuration: Any) -> int:
    """How many heads of queries there are."""
    return int(configuration.num_attention_heads)


def key_heads(configuration: Any) -> int:
    """How many heads of keys there are; that of the queries where nothing else is said."""
    return int(getattr(configuration, "num_key_value_heads", None) or heads(configuration))


def head_size(configuration: Any) -> int:
    """Features of one head."""
    given = getattr(configuration, "head_dim", None)
    return int(given or configuration.hidden_size // heads(configuration))
