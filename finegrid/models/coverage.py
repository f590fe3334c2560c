"""Coverage: what of a model's blocks no role names, and what of it no method can train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from finegrid.models.anatomy import ALL_ROLES, Anatomy, Part, Stored
from finegrid.models.pattern import starred

LARGEST_SHARE = 0.01
"""Of the block weights that no role names; above it, `all` would not mean all."""
_NAMED = 5
"""Names that a message holds before it counts the others."""
LINEAR: frozenset[Stored] = frozenset({"linear", "transposed"})
"""How a weight is kept that a method on linear layers can train."""


def unnamed_share(anatomy: Anatomy) -> float:
    """The share of the block weights that no role names, from 0 to 1; 0 without blocks."""
    names = sum(one.parameters for one in anatomy.unnamed)
    return names / anatomy.block_weights if anatomy.block_weights else 0.0


def uncovered(anatomy: Anatomy, trainable: Collection[Stored] = LINEAR) -> dict[str, int]:
    """Pattern of the paths -> elements of the block weights that such a method cannot train.

    They are those that no role names, and those that are kept in other ways. Empty where they are
    at most 1 % of the block weights: `all` may leave those out.
    """
    counts = Counter({one.path: one.parameters for one in anatomy.unnamed})
    counts.update(_elements(part for part in anatomy.parts if part.stored not in trainable))
    if sum(counts.values()) <= LARGEST_SHARE * anatomy.block_weights:
        return {}
    return _by_pattern(counts)


def refusal(
    anatomy: Anatomy, *wanted: tuple[str, ...], trainable: Collection[Stored] = LINEAR
) -> str | None:
    """Why a method that trains weights kept in these ways cannot take those lists of roles.

    None where it can. `trainable` are the ways that the method knows.
    """
    if missing := [role for roles in wanted for role in anatomy.missing(roles)]:
        return f"the model has no {', '.join(dict.fromkeys(missing))} layers"
    reasons = (_refusal(anatomy, roles, trainable) for roles in wanted)
    return next(filter(None, reasons), None)


def _refusal(
    anatomy: Anatomy, wanted: tuple[str, ...], trainable: Collection[Stored]
) -> str | None:
    if wanted == (ALL_ROLES,):
        left = uncovered(anatomy, trainable)
        if left:
            return f"all would leave out {_shown(anatomy, left)}"
        trained = [part for part in anatomy.parts if part.stored in trainable]
        return None if trained else "the model has no layers of any role"
    others = [part for part in anatomy.of_roles(wanted) if part.stored not in trainable]
    if not others:
        return None
    ways = " and ".join(sorted({part.stored for part in others}))
    left = _by_pattern(_elements(others))
    return f"stored as {ways}, not as linear layers: {_shown(anatomy, left)}"


def _elements(parts: Iterable[Part]) -> Counter[str]:
    counts = Counter[str]()
    for part in parts:
        counts[part.path] += part.parameters
    return counts


def _by_pattern(counts: Mapping[str, int]) -> dict[str, int]:
    patterns = Counter[str]()
    for path, count in counts.items():
        patterns[starred(path)] += count
    return dict(patterns.most_common())


def _shown(anatomy: Anatomy, left: Mapping[str, int]) -> str:
    """A share of the block weights, and the names of those weights, the largest first."""
    share = 100 * sum(left.values()) / anatomy.block_weights
    names = ", ".join([*left][:_NAMED])
    rest = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    return f"{share:.1f} % of the block weights: {names}{rest}"
