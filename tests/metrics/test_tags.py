"""Metrics of tags: the values of seqeval 1.2.2, and cases counted by hand."""

import math

import numpy as np
import pyarrow as pa
import pytest

from finegrid.metrics.contract import Floats, Metric
from finegrid.metrics.registry import METRICS, metric
from finegrid.training.evaluation import compute
from kinds.outputs.tag_schemes import GRAMMARS

NAMES = [name for name in METRICS if metric(name).defined_on == "tags"]
SPANS = ("span_precision", "span_recall", "span_f1")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
Rows = list[list[str]]

README = (
    [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]],
    [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]],
)
"""seqeval's README and docstrings: F1, precision and recall 0.50, accuracy 0.80."""
STRICT = ([["B-NP", "I-NP", "O"]], [["I-NP", "I-NP", "O"]])
"""seqeval's README on its strict mode: of IOB2, no entity is found; F1 0.00."""
CASES: dict[str, tuple[Rows, Rows, tuple[float, float, float], float]] = {
    "the README": (*README, (0.5, 0.5, 0.5), 0.8),
    "the README, strict": (*STRICT, (0, 0, 0), 2 / 3),
    "one of two, and one that is none": (
        [["B-PER", "I-PER", "O", "B-LOC"]],
        [["B-PER", "I-PER", "B-LOC", "O"]],
        (1 / 2, 1 / 2, 1 / 2),
        1 / 2,
    ),
    "another type inside ends an entity": (
        [["B-PER", "I-PER", "O"]],
        [["B-PER", "I-LOC", "O"]],
        (0, 0, 0),
        2 / 3,
    ),
    "two that touch": ([["B-PER", "B-PER"]], [["B-PER", "I-PER"]], (0, 0, 0), 1 / 2),
    "no entity": ([["O", "O"]], [["O", "O"]], (0, 0, 0), 1),
    "none is predicted": ([["B-PER", "O"]], [["O", "O"]], (0, 0, 0), 1 / 2),
}


def table(true: Rows, found: Rows) -> pa.Table:
    """Tags, and the entities that they name by IOB2."""
    words = pa.list_(pa.string())
    columns = {"tags": true, "predicted": found}
    named = {"entities": named_by(true), "predicted_entities": named_by(found)}
    return pa.table({name: pa.array(rows, words) for name, rows in (columns | named).items()})


def named_by(rows: Rows) -> Rows:
    found = map(GRAMMARS["IOB2"].entities, rows)
    return [[":".join(map(str, one)) for one in sorted(entities)] for entities in found]


def score(name: str, rows: pa.Table, weights: Floats | None = None) -> float:
    whole = np.ones(rows.num_rows) if weights is None else weights
    return float(metric(name).weighted(metric(name).statistics(rows), whole[np.newaxis])[0])


def recorded(name: str, rows: pa.Table) -> float:
    true, found = (rows[column].to_pylist() for column in metric(name).columns)
    return compute(name, found, true).value


def draw(rng: np.random.Generator, items: int) -> pa.Table:
    """Valid tags, and some that are not."""
    true: Rows = []
    for _ in range(items):
        row = ["O"]
        for _ in range(int(rng.integers(1, 7))):
            allowed = ["O", "B-PER", "B-LOC", *(["I" + row[-1][1:]] if row[-1] != "O" else [])]
            row.append(str(rng.choice(allowed)))
        true.append(row[1:])
    found = [[str(rng.choice(TAGS)) if rng.random() < 0.4 else tag for tag in row] for row in true]
    return table(true, found)


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_seqeval_in_its_strict_mode(case: str) -> None:
    true, found, spans, accuracy = CASES[case]
    rows = table(true, found)
    for name, expected in zip((*SPANS, "token_accuracy"), (*spans, accuracy), strict=True):
        assert score(name, rows) == pytest.approx(expected, abs=1e-12), name
        assert recorded(name, rows) == pytest.approx(expected, abs=1e-12), name


@pytest.mark.parametrize("name", NAMES)
def test_statistics_give_the_recorded_score_under_weights_too(name: str) -> None:
    rng, one = np.random.default_rng(0), metric(name)
    for _ in range(5):
        rows = draw(rng, 8)
        assert score(name, rows) == pytest.approx(recorded(name, rows), abs=1e-12)
        counts = rng.multinomial(8, np.full(8, 1 / 8))
        again = recorded(name, rows.take(np.repeat(np.arange(8), counts)))
        assert score(name, rows, counts.astype(float)) == pytest.approx(again, abs=1e-12)
    others = [recorded(name, rows.take(np.delete(np.arange(8), item))) for item in range(8)]
    assert one.without_each(one.statistics(rows)) == pytest.approx(others, abs=1e-12)
    assert isinstance(one, Metric)
    error = one.standard_error(one.statistics(rows))
    assert error == pytest.approx(math.sqrt(7 * float(np.var(others))), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_axes_stay_and_more_is_better(name: str) -> None:
    one, rows = metric(name), draw(np.random.default_rng(1), 5)
    both = np.stack([np.stack([one.statistics(rows)] * 2, 1)] * 3, 1)  # (items, 3, 2, k)
    assert one.score(both) == pytest.approx(np.full((3, 2), score(name, rows)))
    best = table([["B-PER", "O"]], [["B-PER", "O"]])
    assert one.sign * score(name, best) == 1


def test_a_word_that_was_not_read_is_wrong_and_in_no_entity() -> None:
    unread: list[list[str | None]] = [["B-PER", None, None]]
    rows = pa.table({"tags": [["B-PER", "I-PER", "O"]], "predicted": unread})
    assert score("token_accuracy", rows) == recorded("token_accuracy", rows) == pytest.approx(1 / 3)
    macro = score("token_macro_f1", rows)
    assert macro == recorded("token_macro_f1", rows) == pytest.approx(1 / 3)
    assert GRAMMARS["IOB2"].entities(["B-PER", None]) == {("PER", 0, 1)}


def test_the_macro_score_is_the_mean_over_tags() -> None:
    """Counted by hand: of N 2 of 3 are found and 2 are right, of V 1 is and 1 of 2 is right."""
    rows = table([["N", "N", "V"], ["N"]], [["N", "V", "V"], ["N"]])
    expected = (2 * 2 / (3 + 2) + 2 * 1 / (1 + 2)) / 2
    assert score("token_macro_f1", rows) == recorded("token_macro_f1", rows)
    assert score("token_macro_f1", rows) == pytest.approx(expected)
