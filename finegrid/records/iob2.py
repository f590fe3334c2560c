"""Tags of words that name entities, as strict IOB2 has them."""

import re
from collections.abc import Sequence

OUTSIDE, BEGINS, GOES_ON = "O", "B", "I"
_IOB2 = re.compile(rf"{OUTSIDE}|[{BEGINS}{GOES_ON}]-.+")
Entity = tuple[str, int, int]
"""Its type, its first word, and the one behind its last."""


def names_entities(labels: Sequence[str]) -> bool:
    """Whether tags are those of IOB2, by their names."""
    return all(map(_IOB2.fullmatch, labels)) and any(label != OUTSIDE for label in labels)


def entities(tags: Sequence[str | None]) -> set[Entity]:
    """The entities: `B-x` begins one, which goes on as long as `I-x` of the same x follows.

    An `I-x` that goes on with nothing is in none, as nothing is that is no tag of IOB2.
    """
    found, start, kind = set[Entity](), None, ""
    for at, tag in enumerate([*tags, None]):
        sign, _, name = (tag or OUTSIDE).partition("-")
        if start is not None and (sign, name) != (GOES_ON, kind):
            found.add((kind, start, at))
            start = None
        if sign == BEGINS:
            start, kind = at, name
    return found


def check(tags: Sequence[str]) -> None:
    """Refuse true tags by which no entity would be known. Raises ValueError."""
    before = OUTSIDE
    for tag in tags:
        if not _IOB2.fullmatch(tag):
            raise ValueError(f"{tag!r} is no tag of IOB2, which are O, B-<type> and I-<type>")
        if tag.startswith(GOES_ON) and before[1:] != tag[1:]:
            raise ValueError(f"{tag!r} follows {before!r}, where IOB2 begins an entity by B-")
        before = tag
