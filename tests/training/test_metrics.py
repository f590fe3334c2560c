"""Every metric module against its reference, without a network."""

import math
import random
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Never

import evaluate
import numpy as np
import pytest
import torch

from finegrid.metrics.registry import METRICS, metric
from finegrid.records.prepared import PreparedTask
from finegrid.records.result import Score
from finegrid.training import loop
from finegrid.training.evaluation import (
    UndefinedScoreError,
    compute,
    load_metric,
    predictions,
    score,
)
from finegrid.training.loop import Trainer
from kinds.contract import Row
from tests.training.assets import Assets, rows_of_numbers

_DRAW = random.Random(0)  # noqa: S311 - examples, no secrets
FOUND = [_DRAW.randrange(2) for _ in range(40)]
TRUE = [found if _DRAW.random() < 0.7 else 1 - found for found in FOUND]
NUMBERS = [_DRAW.random() for _ in range(40)]
TARGETS = [number**3 + 0.2 * _DRAW.random() for number in NUMBERS]
Values = Sequence[float]


def cells(found: Values, true: Values) -> tuple[int, int, int, int]:
    """True and false positives, false and true negatives."""
    pairs = list(zip(found, true, strict=True))
    order = [(1, 1), (1, 0), (0, 1), (0, 0)]
    counts = [sum(pair == wanted for pair in pairs) for wanted in order]
    return counts[0], counts[1], counts[2], counts[3]


def accuracy(found: Values, true: Values) -> float:
    tp, _, _, tn = cells(found, true)
    return (tp + tn) / len(true)


def f1(found: Values, true: Values) -> float:
    tp, fp, fn, _ = cells(found, true)
    return 2 * tp / (2 * tp + fp + fn)


def matthews(found: Values, true: Values) -> float:
    tp, fp, fn, tn = cells(found, true)
    return (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def macro_f1(found: Values, true: Values) -> float:
    return (f1(found, true) + f1([1 - one for one in found], [1 - one for one in true])) / 2


def pearson(found: Values, true: Values) -> float:
    return float(np.corrcoef(found, true)[0, 1])


def spearman(found: Values, true: Values) -> float:
    ranks = [np.argsort(np.argsort(values)).tolist() for values in (found, true)]
    return pearson(ranks[0], ranks[1])


def mean_squared_error(found: Values, true: Values) -> float:
    return sum((f - t) ** 2 for f, t in zip(found, true, strict=True)) / len(true)


def r2(found: Values, true: Values) -> float:
    return 1 - mean_squared_error(found, true) / float(np.var(true))


REFERENCES: dict[str, Callable[[Values, Values], float]] = {
    "acc_norm": accuracy,  # of predictions by another rule
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews_correlation": matthews,
    "mse": mean_squared_error,
    "pearson": pearson,
    "r2": r2,
    "spearman": spearman,
}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Never:
        raise AssertionError("a metric opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def regression(assets: Assets, *metrics: str) -> PreparedTask:
    facts = {"kind": "tabular-regression", "labels": (), "metrics": metrics}
    return assets.manifest().model_copy(update=facts)


@pytest.mark.parametrize("name", [one for one in METRICS if "label" in metric(one).columns])
def test_a_metric_equals_its_reference(name: str) -> None:
    numbers = name in ("mse", "pearson", "r2", "spearman")
    found, true = (NUMBERS, TARGETS) if numbers else (FOUND, TRUE)
    result = compute(name, found, true)
    assert result.value == pytest.approx(REFERENCES[name](found, true), abs=1e-12)
    assert result.n == 40
    assert 0 < result.value < 1


@pytest.mark.parametrize(
    ("name", "worst"), [("accuracy", 0), ("f1", 0), ("matthews_correlation", 0)]
)
def test_constant_predictions_have_a_score(name: str, worst: float) -> None:
    assert compute(name, [0] * 3, [1] * 3).value == worst


def test_more_than_two_classes() -> None:
    assert compute("accuracy", [0, 1, 2, 2], [0, 2, 2, 2]).value == 0.75


def test_a_task_gets_all_its_metrics() -> None:
    said = [{"logits": logits} for logits in ([0.1, 0.9], [0.8, 0.2], [0.3, 0.7])]
    examples = rows_of_numbers("flat-image-classification", np.zeros((3, 2)), [1, 0, 0])
    scores = score(predictions(examples, said), ("accuracy", "matthews_correlation"))
    assert {name: s.n for name, s in scores.items()} == {"accuracy": 3, "matthews_correlation": 3}
    assert scores["accuracy"].value == pytest.approx(2 / 3)


def of_numbers(*numbers: float) -> list[Row]:
    """Predictions of a regression whose labels are 1, 2, ..."""
    labels = [float(label) for label in range(1, len(numbers) + 1)]
    examples = rows_of_numbers("tabular-regression", np.zeros((len(numbers), 2)), labels)
    return predictions(examples, [{"logits": [number]} for number in numbers])


def test_a_regression_takes_its_single_output() -> None:
    rows = of_numbers(0.5, 1.5, 4.0)
    assert [row["prediction"] for row in rows] == [0.5, 1.5, 4.0]
    scores = score(rows, ("pearson", "spearman"))
    assert scores["spearman"].value == pytest.approx(1)
    assert scores["pearson"].value == pytest.approx(pearson([0.5, 1.5, 4.0], [1, 2, 3]))


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.warns(match="constant"), pytest.raises(UndefinedScoreError, match="pearson"):
        score(of_numbers(1, 1, 1), ("pearson",))


@pytest.mark.parametrize(
    ("name", "values", "kept"),
    [("mse", [0.5, 0.2, 0.2, 0.4], 2), ("r2", [0.5, 0.2, 0.9, 0.4], 3)],
)
def test_the_state_of_the_best_score_is_kept_whichever_way_the_metric_points(
    assets: Assets, name: str, values: list[float], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = rows_of_numbers("tabular-regression", np.random.rand(2, 12), [1.0, 3.0])
    spec = assets.specification()
    trainer = Trainer(
        assets.plain(spec),
        regression(assets, name),
        {"train": examples, "validation": examples},
        spec.training,
        log=lambda event: None,
    )
    scores = iter(values)
    monkeypatch.setattr(loop, "score", lambda *_: {name: Score(value=next(scores), n=2)})
    for step in range(1, 5):
        trainer.evaluate(step)
    assert trainer.best is not None
    assert trainer.best.step == kept


def test_a_regression_minimises_the_squared_error(assets: Assets) -> None:
    examples = rows_of_numbers("tabular-regression", np.random.rand(2, 12), [1.0, 3.0])
    spec = assets.specification()
    model = assets.plain(spec)
    model.head = torch.nn.Linear(10, 1)
    task = regression(assets, "pearson")
    trainer = Trainer(model, task, {"train": examples}, spec.training, log=lambda event: None)
    output = model(**examples.batch([0, 1]).inputs).logits[:, 0]
    expected = ((output - torch.tensor([1.0, 3.0])) ** 2).sum()
    torch.testing.assert_close(trainer.loss([0, 1]), expected)


def test_what_scores_need_is_loaded_before_their_time_is_taken(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading takes seconds, the scores of a small split take milliseconds."""
    plain = Trainer.train

    def refuse(*args: Any, **options: Any) -> Never:
        raise AssertionError(args)

    def train(trainer: Trainer, order: torch.Generator) -> Any:
        monkeypatch.setattr(evaluate, "load", refuse)
        return plain(trainer, order)

    load_metric.cache_clear()
    monkeypatch.setattr(Trainer, "train", train)
    assert "metrics" in assets.perform(assets.specification(), tmp_path)
