"""Metrics of texts: their statistics give the scores of independent libraries."""

import math
from collections.abc import Callable
from itertools import zip_longest

import numpy as np
import pyarrow as pa
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from finegrid.metrics.contract import Floats, Metric
from finegrid.metrics.registry import METRICS, metric
from finegrid.training.evaluation import UndefinedScoreError, compute

NAMES = [name for name in METRICS if metric(name).defined_on == "texts"]
WORDS = ("the", "film", "was", "great", "dull,", "plot.", "Über", "42", "don't", "a", "-")
TOLERANCE = 1e-9


def draw(name: str, rng: np.random.Generator, items: int) -> pa.Table:
    """References and texts that share words; or counts of tokens and likelihoods."""
    first, second = metric(name).columns
    if first == "target_tokens":
        counts = rng.integers(1, 9, items)
        return pa.table({first: counts, second: -rng.random(items) * counts})
    references = [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(items)]
    texts = [changed(one, rng) for one in references]
    return pa.table({first: references, second: texts})


def changed(text: str, rng: np.random.Generator) -> str:
    """The text, or some of its words with others between them; at times nothing."""
    kind = rng.integers(4)
    words = [one for one in text.split() if rng.random() < 0.8]
    if kind == 0:
        return text
    if kind == 1:
        return ""
    return " ".join([*words, *rng.choice(WORDS, 2)] if kind == 2 else words)


def recorded(name: str, table: pa.Table) -> float:
    """The score that a record would hold, NaN where it is undefined."""
    truths, found = (table[column].to_pylist() for column in metric(name).columns)
    try:
        return compute(name, found, truths).value
    except UndefinedScoreError:
        return math.nan


def found(name: str, table: pa.Table, weights: Floats | None = None) -> Floats:
    statistics = metric(name).statistics(table)
    whole = np.ones((1, table.num_rows)) if weights is None else weights
    return metric(name).weighted(statistics, whole)


@pytest.mark.parametrize("name", NAMES)
def test_the_score_of_the_statistics_is_that_of_the_library(name: str) -> None:
    rng = np.random.default_rng(0)
    for items in (1, 2, 5, 40):
        for _ in range(4):
            table = draw(name, rng, items)
            expected = pytest.approx(recorded(name, table), abs=TOLERANCE, nan_ok=True)
            assert found(name, table)[0] == expected


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_repeated_items_and_items_can_be_left_out(name: str) -> None:
    rng = np.random.default_rng(1)
    table = draw(name, rng, 6)
    weights = rng.multinomial(6, np.full(6, 1 / 6), 3)
    again = [recorded(name, table.take(np.repeat(np.arange(6), counts))) for counts in weights]
    assert found(name, table, weights.astype(float)) == pytest.approx(again, abs=TOLERANCE)
    one = metric(name)
    others = [recorded(name, table.take(np.delete(np.arange(6), item))) for item in range(6)]
    assert one.without_each(one.statistics(table)) == pytest.approx(others, abs=TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
def test_axes_stay_and_no_item_has_no_score(name: str) -> None:
    table, one = draw(name, np.random.default_rng(2), 5), metric(name)
    statistics = one.statistics(table)
    both = np.stack([np.stack([statistics] * 2, 1)] * 3, 1)  # (items, 3, 2, k)
    assert one.score(both) == pytest.approx(np.full((3, 2), found(name, table)[0]))
    assert np.isnan(one.weighted(statistics, np.zeros((1, 5)))).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_sign_is_that_of_the_better(name: str) -> None:
    first, second = metric(name).columns
    right = pa.table({first: [2, 3], second: [-0.1, -0.2]})
    wrong = pa.table({first: [2, 3], second: [-9.1, -9.2]})
    if first != "target_tokens":
        right = pa.table({first: ["the film was great"] * 2, second: ["the film was great"] * 2})
        wrong = pa.table({first: ["the film was great"] * 2, second: ["so dull a plot"] * 2})
    assert metric(name).sign * found(name, right)[0] > metric(name).sign * found(name, wrong)[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_standard_error_is_the_jackknife_s(name: str) -> None:
    table, one = draw(name, np.random.default_rng(3), 12), metric(name)
    assert isinstance(one, Metric)
    error = one.standard_error(one.statistics(table))
    if one.binary:
        share = recorded(name, table)
        assert error == pytest.approx(math.sqrt(share * (1 - share) / 12))
        return
    others = [recorded(name, table.take(np.delete(np.arange(12), item))) for item in range(12)]
    assert error == pytest.approx(math.sqrt(11 * float(np.var(others))), rel=1e-6)


Given = list[list[str]]


def by_rouge(texts: list[str], given: Given) -> float:
    scorer = RougeScorer(["rougeL"])
    pairs = zip(given, texts, strict=True)
    return float(np.mean([scorer.score_multi(*pair)["rougeL"].fmeasure for pair in pairs]))


SEVERAL: dict[str, Callable[[list[str], Given], float]] = {
    "bleu": lambda texts, given: sacrebleu.corpus_bleu(texts, list(zip_longest(*given))).score,
    "chrf": lambda texts, given: sacrebleu.corpus_chrf(texts, list(zip_longest(*given))).score,
    "rouge_l": by_rouge,
    "exact_match": lambda texts, given: float(
        np.mean([text in one for text, one in zip(texts, given, strict=True)])
    ),
}
"""What a library says of texts with as many references as each has."""


@pytest.mark.parametrize("name", SEVERAL)
def test_of_several_references_the_library_s_choice_counts(name: str) -> None:
    rng = np.random.default_rng(4)
    for items in (1, 2, 5, 40):
        first, second = metric(name).columns
        counts = rng.integers(1, 5, items)
        given = [
            [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(count)]
            for count in counts
        ]
        texts = [changed(one[-1], rng) for one in given]
        table = pa.table({first: given, second: texts})
        expected = pytest.approx(SEVERAL[name](texts, given), abs=TOLERANCE)
        assert recorded(name, table) == expected
        assert found(name, table)[0] == expected


@pytest.mark.parametrize("name", SEVERAL)
def test_a_list_of_one_reference_is_that_reference(name: str) -> None:
    table = draw(name, np.random.default_rng(5), 20)
    first, second = metric(name).columns
    lists = pa.table({first: [[one] for one in table[first].to_pylist()], second: table[second]})
    assert found(name, lists)[0] == found(name, table)[0]
    assert recorded(name, lists) == recorded(name, table)


def test_an_answer_that_is_missing_is_wrong() -> None:
    table = pa.table({"answer": ["4", "5"], "extracted": ["", "5"]})
    assert found("exact_match", table)[0] == recorded("exact_match", table) == 0.5
