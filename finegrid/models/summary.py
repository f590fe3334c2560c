"""An anatomy in few lines: parts that differ by their block alone are one line with a pattern."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from finegrid.models.anatomy import ALL_ROLES, Anatomy, Attention, Part, Rows
from finegrid.models.coverage import refusal, unnamed_share
from finegrid.models.pattern import starred

Line = dict[str, str | int | float | bool | list[str] | list[dict[str, str]] | None]


class Row(NamedTuple):
    """Parts of one stack, role, pattern and size."""

    stack: str
    role: str
    number: int
    pattern: str
    sizes: str
    stored: str
    rows: str


def rows(anatomy: Anatomy) -> list[Row]:
    """One row for all parts that differ by their block alone, in the model's order."""
    counts = Counter(_key(part) for part in anatomy.parts)
    return [
        Row(stack, role, number, path, sizes, stored, fused)
        for (stack, role, path, sizes, stored, fused), number in counts.items()
    ]


def _key(part: Part) -> tuple[str, str, str, str, str, str]:
    experts = f"{part.experts} x " if part.experts > 1 else ""
    sizes = f"{experts}{part.in_features} -> {part.out_features}"
    fused = shown(part.outputs) if part.outputs else ""
    return part.stack, part.role, starred(part.path), sizes, part.stored, fused


def shown(outputs: Rows) -> str:
    """Rows in a few words: `0-767`, or `0-63 of every 192, 12 times`."""
    last = outputs.start + outputs.length - 1
    first = f"{outputs.start}-{last}" if last > outputs.start else f"{last}"
    if outputs.count == 1:
        return first
    return f"{first} of every {outputs.stride}, {outputs.count} times"


def compact(anatomy: Anatomy) -> Line:
    """All of an anatomy but the single paths: what a golden file holds."""
    return {
        "reads": anatomy.reads,
        "hidden": anatomy.hidden,
        "blocks": [f"{stack}: {count}" for stack, count in anatomy.stacks.items()],
        "parts": [{row.role: _line(row)} for row in rows(anatomy)],
        "unnamed": _counted(one.path for one in anatomy.unnamed),
        "unnamed_percent": round(100 * unnamed_share(anatomy), 2),
        "block_weights": anatomy.block_weights,
        "other_weights": anatomy.other_weights,
        "attention": attention_lines(anatomy),
        "head": list(anatomy.head),
        "optional": list(anatomy.optional),
        "embeddings": anatomy.embeddings,
        **({"output": anatomy.output} if anatomy.output else {}),
        "positions": anatomy.positions,
        "norms": _counted(anatomy.norms),
        "has_biases": anatomy.has_biases,
        "causal": anatomy.causal,
        "encoder_decoder": anatomy.encoder_decoder,
        "pooler": anatomy.pooler,
        "implementation": anatomy.attention_implementation,
        "dropouts": _counted(part.dropout for part in anatomy.parts if part.dropout),
        "ends": _counted(part.end for part in anatomy.parts if part.end),
        "sums": _counted(anatomy.feed_forward_sums) if anatomy.sums_known else None,
        "all": refusal(anatomy, (ALL_ROLES,)) or "every linear layer",
    }


def _line(row: Row) -> str:
    fused = f", rows {row.rows}" if row.rows else ""
    return f"{row.number} x {row.pattern} {row.sizes}, {row.stored}{fused}"


def attention_lines(anatomy: Anatomy) -> list[str]:
    """The modules that take a prefix with their heads, or why none does."""
    if anatomy.attention_reason:
        return [f"no prefix: {anatomy.attention_reason}"]
    return [f"{count} x {line}" for line, count in Counter(map(_heads, anatomy.attention)).items()]


def _heads(one: Attention) -> str:
    return f"{starred(one.path)}: {one.heads} heads, {one.key_heads} of keys, of {one.head_size}"


def _counted(paths: Iterable[str]) -> list[str]:
    return [f"{count} x {path}" for path, count in Counter(map(starred, paths)).items()]
