"""SQuAD's metrics: values by the definitions of the official script, computed by hand."""

import numpy as np
import pyarrow as pa
import pytest

from finegrid.metrics.answers import normalised
from finegrid.metrics.registry import METRICS, metric
from finegrid.training.evaluation import compute

NAMES = [name for name in METRICS if metric(name).defined_on == "spans"]
CASES: dict[str, tuple[list[str], str, float, float]] = {
    # answers, text, exact match, F1
    "articles, punctuation and case": (["The Eiffel Tower."], "eiffel  tower", 1, 1),
    "one word of three, of two": (["Eiffel Tower"], "tower in Paris", 0, 0.4),
    "the best of several": (["in 1889", "1889"], "1889!", 1, 1),
    "the better of two that are wrong": (["red wine", "deep red wine"], "a deep red", 0, 0.8),
    "no shared word": (["Paris"], "Rome", 0, 0),
    "a word as often as both have it": (["no no no"], "no yes no", 0, 4 / 6),
    "punctuation leaves one word": (["twenty-one"], "twentyone", 1, 1),
    "an article inside of a word": (["theatre"], "atre", 0, 0),
    "none, and none found": ([], "", 1, 1),
    "none, and one found": ([], "Paris", 0, 0),
    "one, and none found": (["Paris"], "", 0, 0),
    "an answer of articles is none": (["the"], "", 1, 1),
    "which counts where there is no other": (["the", "Paris"], "", 0, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_an_item_has_the_score_of_the_official_definition(case: str) -> None:
    answers, text, *expected = CASES[case]
    table = pa.table({"answers": pa.array([answers], pa.list_(pa.string())), "text": [text]})
    for name, value in zip(("squad_em", "squad_f1"), expected, strict=True):
        assert metric(name).statistics(table).tolist() == [[pytest.approx(value), 1.0]]
        assert compute(name, [text], [answers]).value == pytest.approx(value)


def test_every_metric_of_spans_is_tried() -> None:
    assert sorted(NAMES) == ["squad_em", "squad_f1"]


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_repeated_items(name: str) -> None:
    """The recorded score of a resample is that of its weights."""
    answers, texts = ([case[side] for case in CASES.values()] for side in (0, 1))
    items = len(CASES)
    table = pa.table({"answers": pa.array(answers, pa.list_(pa.string())), "text": texts})
    weights = np.random.default_rng(0).multinomial(items, np.full(items, 1 / items), 3)
    again = [
        compute(
            name,
            [texts[at] for at in np.repeat(np.arange(items), counts)],
            [answers[at] for at in np.repeat(np.arange(items), counts)],
        ).value
        for counts in weights
    ]
    found = metric(name).weighted(metric(name).statistics(table), weights.astype(float))
    assert found == pytest.approx(again)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A  cat, an owl and THE-dog", "cat owl and thedog"),
        ("«the» end", "« » end"),  # the script knows ASCII punctuation alone
        ("U.S.A.", "usa"),
    ],
)
def test_texts_are_normalised_as_the_official_script_does(text: str, expected: str) -> None:
    assert normalised(text) == expected
