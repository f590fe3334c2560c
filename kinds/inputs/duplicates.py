"""Examples that two splits share, exactly or nearly: a leak that no score shows."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kinds.inputs.near_texts import GRAM, NEAR_TEXTS, near_texts
from kinds.inputs.words import normalised

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

NEAR_IMAGES = 0.99
TEXT_DEFINITION = (
    "exact: equal words after Unicode NFKC, in folded case, without punctuation; near: a Jaccard "
    f"similarity of at least {float(NEAR_TEXTS)} of the sets of character {GRAM}-grams of these "
    "words, the two texts of a pair taken together"
)
IMAGE_DEFINITION = (
    f"exact: equal pixels; near: a Pearson correlation of the pixels of at least {NEAR_IMAGES}"
)
ROW_DEFINITION = "exact: equal numbers; near duplicates are not looked for in plain numbers"
_PAIR = "\n"
"""Between the two texts of a pair; no single text holds it."""
_BLOCK = 2048
"""Rows that are compared at a time: it bounds the memory, and changes no result."""


@dataclass(frozen=True)
class Match:
    """An example of the second split, and the one of the first that is most like it."""

    first: int
    second: int
    similarity: float
    exact: bool


@dataclass(frozen=True)
class Comparison:
    """What exact and near duplicates are for some inputs, and what finds them."""

    definition: str
    read: Callable[[pa.Table], Any]
    """What is compared of the rows of a split."""
    matches: Callable[[Any, Any], list[Match]]
    """Of what is read of the first split and of the second: see `text_matches`."""
    finds_near: bool = True


def readings(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """What a reader sees of examples, each one text or a pair: equal for those of equal words."""
    return [_PAIR.join(map(_words, texts)) for texts in rows]


def text_matches(first: Sequence[str], second: Sequence[str]) -> list[Match]:
    """The examples of `second` with an exact or a near duplicate in `first`, in their order.

    Both are readings. `TEXT_DEFINITION` says what a duplicate is. Of several, the most similar
    counts, and of equals the earliest. The search misses none: see `near_texts`.
    """
    known = _earliest(first)
    others = list(dict.fromkeys(text for text in second if text not in known))
    near = {others[one.second]: one for one in near_texts(list(known), others)}
    places = list(known.values())
    found = []
    for at, text in enumerate(second):
        if text in known:
            found.append(Match(known[text], at, 1.0, exact=True))
        elif text in near:
            best = near[text]
            found.append(Match(places[best.first], at, best.similarity, exact=False))
    return found


def image_matches(first: NDArray[Any], second: NDArray[Any]) -> list[Match]:
    """The same for images: pixels (n, features) and (m, features).

    `IMAGE_DEFINITION` says what a duplicate is. An image of one grey value has no correlation,
    and so no near duplicate.
    """
    exact = row_matches(first, second)
    rest = np.setdiff1d(np.arange(len(second)), [match.second for match in exact])
    found = [
        match
        for start in range(0, len(rest), _BLOCK)
        for match in _near_images(first, second, rest[start : start + _BLOCK])
    ]
    return sorted(exact + found, key=lambda match: match.second)


def row_matches(first: NDArray[Any], second: NDArray[Any]) -> list[Match]:
    """The rows of `second` (m, features) that are equal to one of `first` (n, features)."""
    # adding 0 makes 0 of -0, which is equal and has other bytes
    known = _earliest(row.tobytes() for row in first + 0)
    wanted = [row.tobytes() for row in second + 0]
    return [Match(known[row], at, 1.0, exact=True) for at, row in enumerate(wanted) if row in known]


def _earliest(values: Iterable[Any]) -> dict[Any, int]:
    """Each distinct value with the place where it stands first."""
    places: dict[Any, int] = {}
    for at, value in enumerate(values):
        places.setdefault(value, at)
    return places


def _words(text: str) -> str:
    """The normalised words; of a text without a word, such as a smiley, its signs."""
    plain = unicodedata.normalize("NFKC", text)
    return normalised(plain) or " ".join(plain.split())


def _near_images(first: NDArray[Any], second: NDArray[Any], rows: NDArray[Any]) -> list[Match]:
    """The best near duplicates of these rows of `second`, a block of `first` at a time."""
    wanted = _standardised(second[rows])
    best, place = np.zeros(len(rows)), np.zeros(len(rows), dtype=int)
    for start in range(0, len(first), _BLOCK):
        alike = wanted @ _standardised(first[start : start + _BLOCK]).T
        at = alike.argmax(axis=1)
        value = alike[np.arange(len(rows)), at]
        better = value > best
        best[better], place[better] = value[better], at[better] + start
    return [
        Match(int(place[at]), int(rows[at]), min(float(best[at]), 1.0), exact=False)
        for at in np.flatnonzero(best >= NEAR_IMAGES)
    ]


def _standardised(images: NDArray[Any]) -> NDArray[Any]:
    """Rows of mean 0 and length 1, so that a product is a correlation; 0 for a constant one."""
    centred = images.astype(np.float64)
    constant = centred.min(axis=1) == centred.max(axis=1)
    centred -= centred.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    length[constant] = np.inf
    return np.asarray(centred / length)
