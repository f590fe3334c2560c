"""Texts that are nearly the same: a search that misses none and holds few of their grams.

Two sets of Jaccard similarity t share at least t |x| of the grams of x, so that at most
|x| - ceil(t |x|) of them are missing in y: the rarest shared gram is among the first
|x| - ceil(t |x|) + 1 of x in order of rarity, and likewise of y. Only these prefixes are compared
(Chaudhuri, Ganti and Kaushik 2006, "A primitive operator for similarity joins in data cleaning",
ICDE; Xiao et al. 2008, "Efficient similarity joins for near duplicate detection", WWW). Of the
pairs that are left most fall by a bitmap of all grams of a text (Sandes, Teodoro and Melo 2020,
"Bitmap filter: speeding up exact set similarity joins with bitwise operations", Information
Systems 88), and the similarity of the others is that of their sets.

In prefixes and bitmaps a gram is a 64-bit number, one to one for up to 7,131 different signs. Of
texts with more some grams may have one number: their sets of numbers differ in no more places than
their sets of grams, and with the sizes of the sets of grams both filters hold as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

NEAR_TEXTS = Fraction(4, 5)
GRAM = 5
_CELLS = 1 << 21
"""Grams that are looked at, and pairs of prefixes that are compared, at a time.

It bounds the memory, and changes no result."""
_END = "\0" * GRAM
"""Behind each text, so that no gram begins in one and ends in another."""
_LEAST_BITS = 64
"""Of a bitmap."""
_MOST_BITS = 20
"""Of the number of a range of grams that are counted together."""
_NUMBERS = 1 << 64
_MIX = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)
_Numbers = NDArray[np.uint64]
_Places = NDArray[np.int64]


class Near(NamedTuple):
    """A text of the second side, and the one of the first that is most like it, by their places."""

    first: int
    second: int
    similarity: float


def near_texts(first: Sequence[str], second: Sequence[str]) -> list[Near]:
    """The texts of `second` that are near to one of `first`, in their order.

    Of several the most similar counts, and of equals the earliest.
    """
    numbering = _Numbering.of(first, second)
    left, right = _sketches(first, numbering), _sketches(second, numbering)
    best: dict[int, Near] = {}
    for size, known in left.items():
        index, grams = _index(known)
        for other in (size - 1, size, size + 1):  # t > 1/2: no smaller and no larger ones are near
            if other in right:
                for pairs in _candidates(known, right[other], index, grams):
                    _verify(first, second, pairs, best)
    return sorted(best.values(), key=lambda near: near.second)


def grams_of(text: str) -> set[str]:
    """The text's character n-grams; a shorter text is its own only one."""
    return {text[at : at + GRAM] for at in range(max(1, len(text) - GRAM + 1))}


@dataclass(frozen=True)
class _Numbering:
    """Numbers for the grams of some texts, whose order is that of rarity: the rarest come first."""

    letters: NDArray[np.uint32]
    """Of each code point a number from 1 on; those that no text has are 0."""
    rank: _Numbers
    """The order of ranges of numbers, by their first bits."""

    @classmethod
    def of(cls, *sides: Sequence[str]) -> _Numbering:
        """The order by counts in these texts."""
        signs = set[str]().union(*(text for texts in sides for text in texts))
        letters = np.zeros(sys.maxunicode + 1, dtype=np.uint32)
        letters[[ord(sign) for sign in signs]] = np.arange(1, len(signs) + 1)
        grams = sum(len(text) for texts in sides for text in texts)
        counts = np.zeros(1 << min(grams.bit_length() + 1, _MOST_BITS), dtype=np.uint32)
        plain = cls(letters, np.arange(len(counts), dtype=np.uint64))
        for texts in sides:
            for block in _blocks(_lengths(texts)):
                keys, *_ = plain.keys([texts[at] for at in block])
                np.add.at(counts, keys >> plain.shift, np.uint32(1))
        rank = np.empty_like(plain.rank)
        rank[np.argsort(counts, kind="stable")] = plain.rank
        return cls(letters, rank)

    @property
    def shift(self) -> np.uint64:
        """The bits behind those that name a range."""
        return np.uint64(65 - len(self.rank).bit_length())

    @property
    def is_exact(self) -> bool:
        """Whether two grams never have one number."""
        signs = int(self.letters.max()) + 1
        return bool(signs**GRAM <= _NUMBERS)

    def keys(self, texts: Sequence[str]) -> tuple[_Numbers, _Places, _Places]:
        """A number for each gram, and where those of each text begin and how many they are.

        Between the grams of two texts stand numbers that are of neither.
        """
        lengths = _lengths(texts)
        joined = _END.join([*texts, ""]).encode("utf-32-le", "surrogatepass")
        letters = self.letters[np.frombuffer(joined, dtype="<u4")]
        found = np.zeros(len(letters) - GRAM + 1, dtype=np.uint64)
        factor = np.uint64(int(self.letters.max()) + 1)
        for at in range(GRAM):
            found *= factor
            found += letters[at : at + len(found)]
        # one to one, and like random bits: the last step of MurmurHash3
        for mix in _MIX:
            found ^= found >> np.uint64(33)
            found *= mix
        found ^= found >> np.uint64(33)
        rest = found & ((np.uint64(1) << self.shift) - np.uint64(1))
        keys = (self.rank[found >> self.shift] << self.shift) | rest
        starts = np.cumsum(lengths + GRAM) - lengths - GRAM
        return keys, starts, np.maximum(1, lengths - GRAM + 1)


@dataclass(frozen=True)
class _Sketch:
    """What is held of texts whose sets have about one size."""

    texts: _Places
    """Where each stands."""
    sizes: _Places
    """Grams of each."""
    keys: _Numbers
    """The rarest grams of each, text after text, as many as the search needs."""
    lengths: _Places
    """How many these are."""
    bitmaps: _Numbers
    """Of all grams of each: which bits an odd number of grams has, (texts, words)."""


def _lengths(texts: Sequence[str]) -> _Places:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _blocks(lengths: _Places) -> Iterator[_Places]:
    """Places of texts of like length, a bounded number of grams at a time."""
    places = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(places):
        # ascending: the last one of a block is its longest
        ahead = places[start : start + _CELLS]
        cells = np.arange(1, len(ahead) + 1) * (lengths[ahead] + GRAM)
        end = start + max(1, int(np.searchsorted(cells, _CELLS, side="right")))
        yield places[start:end]
        start = end


def _sketches(texts: Sequence[str], numbering: _Numbering) -> dict[int, _Sketch]:
    """The sketches of all texts, by the logarithm of the size of their sets."""
    parts: dict[int, list[_Sketch]] = {}
    for block in _blocks(_lengths(texts)):
        chosen = [texts[at] for at in block]
        rows, distinct = _sorted_rows(*numbering.keys(chosen))
        if numbering.is_exact:
            sizes = distinct.sum(axis=1)
        else:
            sizes = np.fromiter((len(grams_of(text)) for text in chosen), np.int64, len(chosen))
        logarithms = np.frexp(sizes)[1] - 1
        for one in np.unique(logarithms).tolist():
            among = logarithms == one
            part = _sketch(block[among], sizes[among], rows[among], distinct[among])
            parts.setdefault(one, []).append(part)
    return {one: _together(some) for one, some in parts.items()}


def _sketch(texts: _Places, sizes: _Places, rows: _Numbers, distinct: Any) -> _Sketch:
    """The sketch of texts with their sorted keys."""
    kept = distinct & (np.cumsum(distinct, axis=1) <= _prefix(sizes)[:, None])
    bits = max(_LEAST_BITS, 1 << int(sizes.max()).bit_length())
    return _Sketch(texts, sizes, rows[kept], kept.sum(axis=1), _bitmaps(rows, distinct, bits))


def _together(parts: Sequence[_Sketch]) -> _Sketch:
    columns = ([getattr(part, one.name) for part in parts] for one in fields(_Sketch))
    return _Sketch(*map(np.concatenate, columns))


def _prefix(sizes: _Places) -> _Places:
    """How many of the rarest grams of sets of these sizes are compared."""
    shared = -(-sizes * NEAR_TEXTS.numerator // NEAR_TEXTS.denominator)
    return sizes - shared + 1


def _sorted_rows(keys: _Numbers, starts: _Places, counts: _Places) -> tuple[_Numbers, Any]:
    """The keys of each text in a row, in their order, and which of them are new in it."""
    columns = np.arange(counts.max())
    filled = columns < counts[:, None]
    rows = np.repeat(_LAST, filled.size).reshape(filled.shape)
    rows[filled] = keys[(starts[:, None] + columns)[filled]]
    rows.sort(axis=1)
    distinct = filled  # what fills a row up stands behind the keys
    distinct[:, 1:] &= rows[:, 1:] != rows[:, :-1]
    return rows, distinct


def _bitmaps(rows: _Numbers, distinct: Any, bits: int) -> _Numbers:
    """The parity of the grams of each text at each of so many bits, (texts, words)."""
    bit = (rows & np.uint64(bits - 1)).astype(np.int64) + np.arange(len(rows))[:, None] * bits
    odd = np.bincount(bit[distinct], minlength=len(rows) * bits) & 1
    packed = np.packbits(odd.astype(np.uint8).reshape(len(rows), bits), axis=1)
    return packed.view(np.uint64)


class _Pairs(NamedTuple):
    """Pairs of texts that may be near, and the most grams that they may share."""

    first: _Places
    second: _Places
    sizes: _Places
    """Grams of both, together."""
    shared: _Places


def _candidates(left: _Sketch, right: _Sketch, index: Any, grams: _Numbers) -> Iterator[_Pairs]:
    """Pairs that may be near, a block at a time: all that are, and few others."""
    wanted = _rows(right, grams)
    work = np.cumsum(np.concatenate([[0], np.diff(index.indptr)[wanted.indices]]))[wanted.indptr]
    start = 0
    while start < len(right.texts):
        end = int(np.searchsorted(work, work[start] + _CELLS, side="right")) - 1
        end = min(max(start + 1, end), len(right.texts))
        found = (wanted[start:end] @ index).tocoo()
        yield from _fitting(left, right, found.col, found.row + start)
        start = end


def _index(left: _Sketch) -> tuple[Any, _Numbers]:
    """The texts that have each gram in their prefix, (grams, texts), and these grams."""
    order = np.argsort(left.keys)
    keys = left.keys[order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    texts = np.repeat(np.arange(len(left.texts), dtype=np.int32), left.lengths)[order]
    return _ones(texts, np.append(begins, len(keys)), len(left.texts)), keys[begins]


def _rows(right: _Sketch, grams: _Numbers) -> Any:
    """Which of these grams each text has in its prefix, (texts, grams)."""
    places = np.minimum(np.searchsorted(grams, right.keys), len(grams) - 1)
    known = grams[places] == right.keys
    ends = np.concatenate([[0], np.cumsum(right.lengths)])
    kept = np.concatenate([[0], np.cumsum(known)])[ends]
    return _ones(places[known].astype(np.int32), kept, len(grams))


def _ones(indices: Any, ends: _Places, columns: int) -> Any:
    data = np.ones(len(indices), dtype=bool)
    return csr_array((data, indices, ends), shape=(len(ends) - 1, columns))


def _fitting(left: _Sketch, right: _Sketch, a: Any, b: Any) -> Iterator[_Pairs]:
    """Those of the pairs of rows whose bitmaps differ in few enough bits.

    Sets of Jaccard similarity t differ in at most (1 - t) / (1 + t) of the sum of their sizes,
    and each gram that is in one of them alone changes one bit.
    """
    sizes = left.sizes[a] + right.sizes[b]
    words = min(left.bitmaps.shape[1], right.bitmaps.shape[1])
    differing = np.zeros(len(a), dtype=np.int64)
    for one, other in zip(*(_words(side.bitmaps, words) for side in (left, right)), strict=True):
        differing += np.bitwise_count(one[a] ^ other[b])
    least, most = NEAR_TEXTS.numerator, NEAR_TEXTS.denominator
    kept = differing * (most + least) <= sizes * (most - least)
    if kept.any():
        a, b, sizes, differing = a[kept], b[kept], sizes[kept], differing[kept]
        yield _Pairs(left.texts[a], right.texts[b], sizes, (sizes - differing) // 2)


def _words(bitmaps: _Numbers, words: int) -> _Numbers:
    """Bitmaps of so many words, the same sets' where that is fewer, as (words, texts)."""
    while bitmaps.shape[1] > words:
        half = bitmaps.shape[1] // 2
        bitmaps = bitmaps[:, :half] ^ bitmaps[:, half:]
    return np.ascontiguousarray(bitmaps.T)


def _verify(
    first: Sequence[str], second: Sequence[str], pairs: _Pairs, best: dict[int, Near]
) -> None:
    """Note the near ones of the pairs by their sets; those that cannot be the best are passed."""
    bound = pairs.shared / (pairs.sizes - pairs.shared)
    order = np.lexsort((pairs.first, -bound, pairs.second))
    read, grams = -1, set[str]()
    for a, b, most in zip(*(one[order].tolist() for one in (*pairs[:2], bound)), strict=True):
        known = best.get(b)
        if known and (most, -a) <= (known.similarity, -known.first):
            continue
        if b != read:
            read, grams = b, grams_of(second[b])
        other = grams_of(first[a])
        shared = len(grams & other)
        union = len(grams) + len(other) - shared
        is_near = shared * NEAR_TEXTS.denominator >= union * NEAR_TEXTS.numerator
        found = Near(a, b, shared / union)
        if is_near and (not known or (found.similarity, -a) > (known.similarity, -known.first)):
            best[b] = found
