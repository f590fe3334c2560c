"""Examples that two splits share, exactly or nearly: a leak that no score shows."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer

from kinds.inputs.words import normalised

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

NEAR_TEXTS = Fraction(4, 5)
NEAR_IMAGES = 0.99
GRAM = 5
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
_CANDIDATES = 1 << 18
"""Pairs whose similarity is computed at a time, for the same reason."""
_Rows = tuple[Any, Any]
"""Rows of the first side and of the second, as arrays of one length."""


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
    matches: Callable[[pa.Table, pa.Table], list[Match]]
    """Of rows of the first split and of the second: see `text_matches`."""
    finds_near: bool = True


def text_matches(
    first: Sequence[tuple[str, ...]], second: Sequence[tuple[str, ...]]
) -> list[Match]:
    """The examples of `second` with an exact or a near duplicate in `first`, in their order.

    An example is one text or a pair. `TEXT_DEFINITION` says what a duplicate is. Of several, the
    most similar counts, and of equals the earliest. The search misses none: see `_candidates`.
    """
    known = _earliest(_reading(texts) for texts in first)
    wanted = [_reading(texts) for texts in second]
    exact = [Match(known[t], at, 1.0, exact=True) for at, t in enumerate(wanted) if t in known]
    rest = [at for at, text in enumerate(wanted) if text not in known]
    near = _near_texts(list(known), [wanted[at] for at in rest])
    places = list(known.values())
    found = [Match(places[a], rest[b], value, exact=False) for a, b, value in near]
    return sorted(exact + found, key=lambda match: match.second)


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


def _reading(texts: tuple[str, ...]) -> str:
    """What a reader sees of an example: equal for texts with the same words."""
    return _PAIR.join(map(_words, texts))


def _words(text: str) -> str:
    """The normalised words; of a text without a word, such as a smiley, its signs."""
    plain = unicodedata.normalize("NFKC", text)
    return normalised(plain) or " ".join(plain.split())


def _grams(text: str) -> set[str]:
    """The text's character n-grams; a shorter text is its own only one."""
    return {text[at : at + GRAM] for at in range(max(1, len(text) - GRAM + 1))}


def _near_texts(first: list[str], second: list[str]) -> list[tuple[int, int, float]]:
    """Rows of the best near duplicates with their similarity, at most one a row of `second`."""
    if not second:
        return []
    grams = _by_rarity(CountVectorizer(analyzer=_grams, dtype=np.int32), [*first, *second])
    left, right = grams[: len(first)], grams[len(first) :]
    found = [_similar(left, right, *pairs) for pairs in _candidates(left, right)]
    if not found:
        return []
    a, b, value = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((a, -value, b))
    best = order[np.unique(b[order], return_index=True)[1]]
    return list(zip(a[best].tolist(), b[best].tolist(), value[best].tolist(), strict=True))


def _by_rarity(vectorizer: Any, texts: list[str]) -> Any:
    """A sparse matrix (texts, grams) of ones: rarest gram first, each row in this order."""
    counts = csr_array(vectorizer.fit_transform(texts))
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    rank = np.empty(counts.shape[1], dtype=counts.indices.dtype)
    rank[np.argsort(frequency, kind="stable")] = np.arange(counts.shape[1], dtype=rank.dtype)
    ranked = csr_array((counts.data, rank[counts.indices], counts.indptr), shape=counts.shape)
    ranked.sort_indices()
    return ranked


def _candidates(left: Any, right: Any) -> Iterator[_Rows]:
    """Rows that may be near, pair by pair, a block at a time: all that are, and some others.

    Two sets of Jaccard similarity t share at least t |x| of the grams of x, so that at most
    |x| - ceil(t |x|) of them are missing in y: the rarest shared gram is among the first
    |x| - ceil(t |x|) + 1 of x in order of rarity, and likewise of y. Only these prefixes are
    compared (Chaudhuri, Ganti and Kaushik 2006, "A primitive operator for similarity joins in
    data cleaning", ICDE; Xiao et al. 2008, "Efficient similarity joins for near duplicate
    detection", WWW).
    """
    n, m = (np.diff(side.indptr).astype(int) for side in (left, right))
    index, prefixes = _prefixes(left).T.tocsr(), _prefixes(right)
    for start in range(0, len(m), _BLOCK):
        b, a = (prefixes[start : start + _BLOCK] @ index).nonzero()
        b = b + start
        small, large = np.minimum(n[a], m[b]), np.maximum(n[a], m[b])
        fits = small * NEAR_TEXTS.denominator >= large * NEAR_TEXTS.numerator
        a, b = a[fits], b[fits]
        for at in range(0, len(a), _CANDIDATES):
            yield a[at : at + _CANDIDATES], b[at : at + _CANDIDATES]


def _prefixes(grams: Any) -> Any:
    """Of each row the rarest grams, as many as `_candidates` needs."""
    sizes = np.diff(grams.indptr).astype(int)
    shared = -(-sizes * NEAR_TEXTS.numerator // NEAR_TEXTS.denominator)
    lengths = sizes - shared + 1
    place = np.arange(grams.nnz) - np.repeat(grams.indptr[:-1], sizes)
    kept = place < np.repeat(lengths, sizes)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return csr_array((grams.data[kept], grams.indices[kept], ends), shape=grams.shape)


def _similar(left: Any, right: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Those of the pairs of rows that are near, with the Jaccard similarity of their sets."""
    shared = np.asarray(left[a].multiply(right[b]).sum(axis=1)).ravel().astype(int)
    union = np.diff(left.indptr)[a] + np.diff(right.indptr)[b] - shared
    near = shared * NEAR_TEXTS.denominator >= union * NEAR_TEXTS.numerator
    return a[near], b[near], shared[near] / union[near]


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
