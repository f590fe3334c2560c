"""Exact and near duplicates of two splits, against a comparison of every pair."""

import random
import tracemalloc
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from kinds.inputs import duplicates, near_texts
from kinds.inputs.duplicates import (
    NEAR_IMAGES,
    Match,
    image_matches,
    readings,
    row_matches,
)
from kinds.inputs.duplicates import text_matches as matches_of_readings
from kinds.inputs.near_texts import GRAM, NEAR_TEXTS, Near

Texts = list[tuple[str, ...]]


def text_matches(first: Texts, second: Texts) -> list[Match]:
    return matches_of_readings(readings(first), readings(second))


def grams(text: str) -> set[str]:
    return {text[at : at + GRAM] for at in range(len(text) - GRAM + 1)}


def jaccard(one: str, other: str) -> Fraction:
    a, b = grams(one), grams(other)
    return Fraction(len(a & b), len(a | b))


def every_pair(first: list[str], second: list[str]) -> dict[int, tuple[int, Fraction]]:
    """Row of `second` -> its best row of `first`, of those that are similar enough."""
    found = {}
    known = list(map(grams, first))
    for at, text in enumerate(second):
        own = grams(text)
        alike = [len(own & other) / len(own | other) for other in known]
        place = alike.index(max(alike))
        value = jaccard(first[place], text)
        if value >= NEAR_TEXTS:
            found[at] = (place, value)
    return found


def as_texts(lines: list[str]) -> Texts:
    return [(line,) for line in lines]


def sentences(draw: random.Random, count: int) -> list[str]:
    """Few words make many pairs that lie around the threshold."""
    words = ("plot", "actor", "scene", "music", "wonderful", "terrible", "slow", "ending")
    return [" ".join(draw.choices(words, k=draw.randint(3, 8))) for _ in range(count)]


@pytest.mark.parametrize("block", [50, 1000, 1 << 21])
@pytest.mark.parametrize("seed", range(3))
def test_no_pair_is_missed_and_none_is_invented(
    seed: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_texts, "_CELLS", block)
    draw = random.Random(seed)  # noqa: S311 - examples, no secrets
    first, second = sentences(draw, 300), sentences(draw, 60)
    second += [first[4], first[2], first[4]]
    for text in draw.sample(first, 60):
        cut = draw.randint(1, len(text) - 6)
        second.append(text[: cut - 1].rstrip() + text[cut:].lstrip())
    # "slow plot" and "plot slow plot" can have equal sets of grams: similar, and no equal texts
    expected = every_pair(first, second)
    found = text_matches(as_texts(first), as_texts(second))
    assert {match.second for match in found} == set(expected)
    assert {match.exact for match in found} == {False, True}
    assert {match.second for match in found if match.exact} == {
        at for at, text in enumerate(second) if text in first
    }
    for match in found:
        assert match.similarity == pytest.approx(float(expected[match.second][1]), abs=1e-12)
        if not match.exact:
            assert match.first == expected[match.second][0]


def assert_equal_to_every_pair(first: list[str], second: list[str]) -> None:
    first, second = (readings(as_texts(list(dict.fromkeys(texts)))) for texts in (first, second))
    second = [text for text in second if text not in first]
    expected = [Near(a, at, float(value)) for at, (a, value) in every_pair(first, second).items()]
    assert near_texts.near_texts(first, second) == expected
    assert expected


def shortened(draw: random.Random, texts: list[str]) -> list[str]:
    """Beginnings of the texts that are near to them, hardly so, or hardly not."""
    return [text[: round(len(text) * draw.uniform(0.78, 0.99))] for text in texts]


def test_texts_of_every_length_are_compared() -> None:
    draw = random.Random(3)  # noqa: S311 - examples, no secrets
    letters = "".join(chr(0x430 + at) for at in range(32))
    first = ["".join(draw.choices(letters, k=round(2 ** draw.uniform(3, 11)))) for _ in range(100)]
    assert_equal_to_every_pair(first, shortened(draw, first))


def test_texts_of_more_signs_than_numbers_tell_apart() -> None:
    draw = random.Random(4)  # noqa: S311 - examples, no secrets
    signs = [chr(at) for at in range(0x4E00, 0x4E00 + 12_000)]
    first = ["".join(draw.choices(signs, k=draw.randint(100, 200))) for _ in range(150)]
    numbering = near_texts._Numbering.of(first)
    assert not numbering.is_exact
    assert near_texts._Numbering.of([text[:40] for text in first]).is_exact
    assert_equal_to_every_pair(first, shortened(draw, first))


@pytest.mark.parametrize("bits", [3, 8, 12])
def test_grams_of_one_number_change_no_result(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = near_texts._Numbering.keys

    def few(self: Any, texts: list[str]) -> Any:
        found, starts, counts = keys(self, texts)
        return found >> np.uint64(64 - bits), starts, counts

    monkeypatch.setattr(near_texts._Numbering, "keys", few)
    monkeypatch.setattr(near_texts._Numbering, "is_exact", False)
    draw = random.Random(5)  # noqa: S311 - examples, no secrets
    first = sentences(draw, 300)
    assert_equal_to_every_pair(first, sentences(draw, 60) + shortened(draw, first[:60]))


BYTES_A_ROW = 600
"""What is held of a text of ten words while near ones are looked for, beside tables of one size."""


def test_memory_is_that_of_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_texts, "_CELLS", 1 << 14)
    monkeypatch.setattr(near_texts, "_MOST_BITS", 16)
    draw = random.Random(6)  # noqa: S311 - examples, no secrets
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 8))) for _ in range(9000)]
    texts = [" ".join(draw.choices(words, k=10)) for _ in range(12_000)]
    peaks = []
    for rows in (4_000, 12_000):
        tracemalloc.start()
        near_texts.near_texts(texts[: rows * 4 // 5], texts[rows * 4 // 5 : rows])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < BYTES_A_ROW * 8_000


def test_the_threshold_itself_is_near_and_just_below_is_not() -> None:
    base = "abcdefghijklmnopqrstuvwxyz"[: 20 + GRAM - 1]
    cut = base[:-4]
    assert jaccard(base, cut) == Fraction(16, 20) == NEAR_TEXTS
    assert text_matches([(base,)], [(cut,)]) == [Match(0, 0, 0.8, exact=False)]
    assert text_matches([(base,)], [(cut[:-1],)]) == []


@pytest.mark.parametrize(
    "text",
    [
        "A  good, GOOD film!",
        "a good good film",
        "a ｇｏｏｄ good ﬁlm",  # noqa: RUF001 - full-width letters and a ligature
        "(A) good--good\tfilm...",
    ],
)
def test_what_reads_the_same_is_exact(text: str) -> None:
    found = text_matches([("another",), ("A good, good film.",)], [("no",), (text,)])
    assert found == [Match(1, 1, 1.0, exact=True)]


def test_texts_without_a_word_are_compared_by_their_signs() -> None:
    found = text_matches([(":-)",), ("!",)], [(":-(",), (" :-) ",), ("?",), ("",)])
    assert found == [Match(0, 1, 1.0, exact=True)]


def test_short_texts_are_near_only_to_themselves() -> None:
    assert text_matches([("yes",), ("no",)], [("yess",), ("No!",)]) == [Match(1, 1, 1.0, True)]


def test_one_changed_letter_in_a_long_text_is_near() -> None:
    text = "the plot is thin but the actors carry this film from its start to the very end"
    (match,) = text_matches([(text,)], [(text.replace("thin", "this"),)])
    assert not match.exact
    assert NEAR_TEXTS <= match.similarity < 1


def test_a_pair_is_a_duplicate_as_a_whole() -> None:
    first: Texts = [("how old is he", "he is forty years old"), ("who", "she")]
    second: Texts = [
        ("How old is he?", "He is forty years old."),
        ("he is forty years old", "how old is he"),
        ("who she", ""),
    ]
    assert text_matches(first, second) == [Match(0, 0, 1.0, exact=True)]


def test_each_example_counts_once_with_its_best_and_earliest() -> None:
    text = "a film that is far longer than it has to be and never dull"
    first = as_texts([f"{text} at all", f"{text} once", f"{text} once"])
    found = text_matches(first, as_texts([f"{text} one", f"{text} once"]))
    assert [(match.first, match.second, match.exact) for match in found] == [
        (1, 0, False),
        (1, 1, True),
    ]


def images(count: int, seed: int) -> Any:
    return np.random.default_rng(seed).random((count, 49), dtype=np.float32)


@pytest.mark.parametrize("block", [7, 2048])
def test_images_against_every_pair(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    noise = np.random.default_rng(2).normal(size=(12, 49)).astype(np.float32)
    first, second = images(40, 0), images(30, 1)
    second[3], second[29] = first[5], first[0]
    for at, strength in enumerate(np.linspace(0.01, 0.12, 12)):
        second[10 + at] = first[20 + at] + strength * noise[at]
    second[25] = 0.5 * first[9] + 0.2
    found = {match.second: match for match in image_matches(first, second)}
    pairs = np.corrcoef(np.float64(first), np.float64(second))[:40, 40:]
    assert set(found) == set(np.flatnonzero(pairs.max(axis=0) >= NEAR_IMAGES).tolist())
    assert {at for at, match in found.items() if match.exact} == {3, 29}
    assert 25 in found
    assert 6 <= len(found) < 15
    for at, match in found.items():
        assert match.first == pairs[:, at].argmax()
        assert match.similarity == pytest.approx(pairs[:, at].max(), abs=1e-12)


def test_images_of_one_grey_value_are_exact_or_nothing() -> None:
    first = np.array([[0, 0, 0], [0.1, 0.2, 0.9]], dtype=np.float32)
    second = np.array([[0.1, 0.1, 0.1], [0, 0, 0], [1, 1, 1]], dtype=np.float32)
    assert image_matches(first, second) == [Match(0, 1, 1.0, exact=True)]


def test_rows_are_equal_or_nothing() -> None:
    first = np.array([[1, 2], [0, 3], [0, 3]], dtype=np.float32)
    second = np.array([[1, 2.0001], [-0.0, 3], [2, 1], [1, 2]], dtype=np.float32)
    assert row_matches(first, second) == [
        Match(1, 1, 1.0, exact=True),
        Match(0, 3, 1.0, exact=True),
    ]
