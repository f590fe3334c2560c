"""A run of the method that trains nothing: it takes no step, and scores the model as it came."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from finegrid.records.prediction import Question
from finegrid.records.result import DELTA_FILE
from finegrid.training.measure.prediction import NOTHING_TRAINED, predict
from finegrid.training.optimization import make_optimizer
from finegrid.training.processes.distributed import Group
from tests.training.assets import SIZES, WRITER, Assets, read_history, run_folder


def cross_entropy_of(writers: Assets, split: str) -> float:
    """Of the plain model over the tokens of a split, by the library's own loss."""
    examples = writers.splits(WRITER)[split]  # type: ignore[index]
    batch = examples.batch(range(len(examples)))
    model = writers.plain(writers.specification(model=WRITER)).eval()
    with torch.no_grad():
        logits = model(**batch.inputs).logits
    labels = batch.targets["labels"]
    return cross_entropy(logits[labels != -100].float(), labels[labels != -100]).item()


def test_a_run_scores_the_model_as_it_came(writers: Assets, tmp_path: Path) -> None:
    spec = writers.specification("untouched", model=WRITER, learning_rate=None, evaluations=3)
    writers.encode(spec)
    result = writers.run(spec, tmp_path)
    assert result.metrics is not None
    assert result.metrics.best_step == 0
    score = result.metrics.test["perplexity"]
    expected = torch.tensor(cross_entropy_of(writers, "test")).exp().item()
    assert score.value == pytest.approx(expected, rel=1e-5)
    assert score.n == SIZES["test"]

    assert result.parameters is not None
    assert (result.parameters.trainable, result.parameters.stored) == (0, 0)
    assert result.time is not None
    assert (result.time.steps, result.time.train_seconds) == (0, 0)
    missing = (result.time.step_median_seconds, result.time.examples_per_second)
    assert (*missing, result.losses, result.gradients, result.memory) == (None,) * 5
    assert result.memory_reason == NOTHING_TRAINED
    assert result.inference is not None
    assert result.inference.base_seconds is not None

    folder = run_folder(spec, tmp_path)
    assert (folder / DELTA_FILE).exists()
    assert [event["step"] for event in read_history(folder)] == [0]


def test_a_step_that_is_none_is_not_predicted(writers: Assets) -> None:
    spec = writers.specification("untouched", model=WRITER, learning_rate=None)
    found = predict(Question(spec=spec, batch=(4, 8)))
    assert (found.peak_bytes, found.reason, found.run_fails) == (None, NOTHING_TRAINED, False)


def test_processes_share_a_model_that_nothing_trains(writers: Assets) -> None:
    """What exchanges gradients refuses a model that has none."""
    spec = writers.specification("untouched", model=WRITER, learning_rate=None, devices=2)
    model = writers.applied(spec)
    assert Group(rank=0, size=2).spread(model, spec.training) is model


def test_what_is_trained_has_a_learning_rate(writers: Assets) -> None:
    spec = writers.specification("lora", model=WRITER, learning_rate=None)
    with pytest.raises(ValueError, match="learning_rate: this key is required"):
        make_optimizer(writers.applied(spec), spec.training)
