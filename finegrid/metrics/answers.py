"""What metrics of answers share: SQuAD's own normalisation, and the best of several answers.

Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1, and the official script of version 2.0
(Rajpurkar et al. 2018, arXiv:1806.03822): small letters, no ASCII punctuation, no articles, single
spaces. A question without an answer has the empty text as its only one.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from finegrid.metrics.contract import Floats

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("answers", "text")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
Compare = Callable[[str, str], float]
"""How much of an answer, the first, is in what was found, from 0 to 1."""


def normalised(text: str) -> str:
    """A text as answers are compared."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(answer: str, found: str) -> float:
    """1 where both are the same, normalised, else 0."""
    return float(normalised(answer) == normalised(found))


def overlap(answer: str, found: str) -> float:
    """2 P R / (P + R) of the words that both have, normalised; of an empty one whether both are."""
    first, second = normalised(answer).split(), normalised(found).split()
    if not first or not second:
        return float(first == second)
    shared = (Counter(first) & Counter(second)).total()
    return 2 * shared / (len(first) + len(second))


def best(answers: Sequence[str], found: str, compare: Compare) -> float:
    """The most over all answers; those that are empty, normalised, count where there is no other.

    As the official script has it.
    """
    given = [one for one in answers if normalised(one)] or [""]
    return max(compare(one, found) for one in given)


def statistics(predictions: pa.Table, compare: Compare) -> Floats:
    """The score of each item, and 1, shape (items, 2)."""
    pairs = zip(*(predictions[name].to_pylist() for name in COLUMNS), strict=True)
    scores = np.array([best(given, text, compare) for given, text in pairs], dtype=np.float64)
    return np.column_stack([scores, np.ones(len(scores))])
