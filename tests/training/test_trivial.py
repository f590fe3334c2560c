"""The trivial predictor: its scores against closed forms, and in the record of a run."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from finegrid.records.prepared import PreparedTask
from finegrid.training.rescore import rescore
from finegrid.training.trivial import trivial_scores
from tests.training.assets import Assets, run_folder


def task(metrics: tuple[str, ...], labels: tuple[str, ...] = ()) -> PreparedTask:
    kind = "text-classification" if labels else "text-regression"
    return PreparedTask.model_construct(kind=kind, labels=labels, metrics=metrics)


def test_the_majority_class_of_train_is_scored_on_test() -> None:
    splits = [2, 1, 2, 0, 1, 2], [1, 1, 1, 2, 0]
    truths = [[{"label": label} for label in labels] for labels in splits]
    found = trivial_scores(truths[0], truths[1], task(("accuracy",), ("a", "b", "c")))
    assert (found.predictor, found.prediction) == ("majority class", 2)
    score = found.test["accuracy"]
    assert score is not None
    assert (score.value, score.n) == (1 / 5, 5)


def test_of_equal_counts_the_first_class_is_taken() -> None:
    labels = [{"label": label} for label in (1, 0, 0, 1)]
    assert trivial_scores(labels, labels, task(("accuracy",), ("a", "b"))).prediction == 0


def test_f1_and_matthews_of_one_class() -> None:
    splits = [1, 1, 0], [1, 0, 1, 1]
    truths = [[{"label": label} for label in labels] for labels in splits]
    names = ("f1", "matthews_correlation")
    found = trivial_scores(truths[0], truths[1], task(names, ("no", "yes"))).test
    # precision 3/4 and recall 1; Matthews' coefficient of constant predictions is taken as 0
    assert [score.value for score in found.values() if score] == [pytest.approx(6 / 7), 0]


def test_the_mean_of_train_has_no_correlation_and_explains_no_variance_of_test() -> None:
    train, test = [1.0, 2.0, 6.0], [2.0, 4.0, 9.0]
    truths = [[{"label": value} for value in values] for values in (train, test)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = trivial_scores(truths[0], truths[1], task(("r2", "mse", "pearson", "spearman")))
    assert (found.predictor, found.prediction) == ("mean", 3.0)
    error = np.mean((np.array(test) - 3.0) ** 2)
    r2, mse = found.test["r2"], found.test["mse"]
    assert r2 is not None
    assert mse is not None
    assert mse.value == pytest.approx(error)
    assert r2.value == pytest.approx(1 - error / np.var(test))
    assert (found.test["pearson"], found.test["spearman"]) == (None, None)


def test_a_run_records_it_and_its_predictions_give_it_again(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification("head")
    result = assets.run(spec, tmp_path)
    assert result.metrics is not None
    trivial = result.metrics.trivial
    assert trivial is not None
    splits = assets.splits()
    truths = {name: [one["label"] for one in split.truths] for name, split in splits.items()}
    labels = np.bincount(truths["train"])
    assert trivial.prediction == labels.argmax()
    score = trivial.test["accuracy"]
    assert score is not None
    expected = np.mean(np.array(truths["test"]) == labels.argmax())
    assert score.value == pytest.approx(expected)
    assert score.n == len(splits["test"])
    folder = run_folder(spec, tmp_path)
    assert rescore(folder).problems == ()

    wrong = score.model_copy(update={"value": 0.99})
    changed = trivial.model_copy(update={"test": {"accuracy": wrong}})
    metrics = result.metrics.model_copy(update={"trivial": changed})
    result.model_copy(update={"metrics": metrics}).sealed().write(folder / "result.json")
    (problem,) = rescore(folder).problems
    assert problem.startswith("trivial accuracy: recorded 0.99, again ")


def test_a_trial_has_none(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification("head").model_copy(update={"role": "trial"})
    metrics = assets.run(spec, tmp_path).metrics
    assert metrics is not None
    assert metrics.trivial is None
