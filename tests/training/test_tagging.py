"""A run on words with a tag each: its loss, scores, predictions, memory, and its statistics."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from finegrid.metrics.registry import metric
from finegrid.planning.own_files import of_files
from finegrid.planning.schema import TaskEntry
from finegrid.prepare.examined import Examiner
from finegrid.prepare.task import prepare_task
from finegrid.records.prediction import Question
from finegrid.records.result import PREDICTIONS_FILE
from finegrid.records.specification import Task
from finegrid.training.measure.prediction import predict
from finegrid.training.rescore import rescore
from tests.training.assets import Assets, read_history, run_folder

TOLERANCE = 0.04
"""Of the measured peak, as in the tests of other kinds."""


@pytest.fixture(scope="module")
def tagging(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """The tiny encoder's sentences, the things in which are named: `the film` is one."""
    found = pq.read_table(assets.prepared / "tasks" / assets.tasks["bert"].key / "train.parquet")
    file = tmp_path_factory.mktemp("tagging") / "things.jsonl"
    rows = [text.split() for text in found["text"].to_pylist()]
    lines = [json.dumps({"tokens": row, "tags": tags(row)}) for row in rows]
    file.write_text("\n".join(lines))
    said = {"kind": "token-classification", "columns": {"tokens": "tokens", "tags": "tags"}}
    split = {"validation": 0.2, "test": 0.3}
    entry = TaskEntry.model_validate({**said, "files": str(file), "split": split})
    made = of_files(entry, Examiner()).entry
    task = Task(name="things", task=str(made.task), source=made.source, options=made.options)
    prepare_task(task, assets.prepared / "tasks" / task.key)
    return replace(assets, tasks=assets.tasks | {"bert": task})


def tags(words: list[str]) -> list[str]:
    """`the` begins a thing, which the next word ends."""
    befores = ["", *words]
    return [
        "B-THING" if word == "the" else "I-THING" if before == "the" else "O"
        for before, word in zip(befores, words, strict=False)
    ]


def test_a_run_is_scored_predicted_and_read_again(tagging: Assets, tmp_path: Path) -> None:
    """Of a method that puts vectors before the words, with a length that cuts some rows."""
    spec = tagging.specification(
        "prompt", model="bert", settings={"length": 4}, max_length=14, epochs=2
    )
    result = tagging.run(spec, tmp_path)
    folder = run_folder(spec, tmp_path)
    assert result.metrics is not None
    assert result.memory is not None
    test = result.metrics.test
    assert list(test) == ["span_f1", "span_precision", "span_recall", "token_accuracy"]
    assert result.metrics.trivial is None
    assert result.provenance.task_remarks == (
        "entities are read by IOB2, as seqeval does in its strict mode",
    )
    cut = result.metrics.counted["test examples lack their end"]

    table = pq.read_table(folder / PREDICTIONS_FILE)
    rows = [row for row in table.to_pylist() if row["split"] == "test"]
    assert [row["tags"] for row in rows] == [tags(row["tokens"]) for row in rows]
    assert sum(None in row["predicted"] for row in rows) == cut > 0
    assert all(
        (tag is None) == (at >= 12) for row in rows for at, tag in enumerate(row["predicted"])
    )
    pairs = [pair for row in rows for pair in zip(row["tags"], row["predicted"], strict=True)]
    accuracy = sum(true == found for true, found in pairs) / len(pairs)
    assert test["token_accuracy"].value == pytest.approx(accuracy)
    assert test["span_f1"].n == len(rows)
    assert test["span_f1"].standard_error is not None

    again = rescore(folder)
    assert again.problems == ()
    assert again.scores == 8

    found = predict(
        Question(spec=spec, batch=result.memory.batch, terms=result.memory.terms)
    ).peak_bytes
    assert found == pytest.approx(result.memory.peak_training_bytes, rel=TOLERANCE)


@pytest.mark.parametrize("training", [{"micro_batch_size": 4}, {"micro_batch_units": 64}], ids=str)
def test_a_cut_into_micro_batches_changes_no_loss(
    tagging: Assets, tmp_path: Path, training: dict[str, Any]
) -> None:
    """Each step's loss is the mean over the words of the whole batch, whatever is cut of it."""
    losses = []
    given: dict[str, dict[str, Any]] = {"whole": {}, "cut": training}
    for name, more in given.items():
        spec = tagging.specification("bitfit", model="bert", max_length=14, dropout=0.0, **more)
        (tmp_path / name).mkdir()
        tagging.perform(spec, tmp_path / name)
        history = read_history(tmp_path / name)
        losses.append([event["loss"] for event in history if "loss" in event])
    assert len(losses[0]) > 1
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_two_variants_are_compared_over_rows(tagging: Assets, tmp_path: Path) -> None:
    """By what each row adds, as for any score that is a function of sums."""
    one, parts = metric("span_f1"), []
    for method in ("full", "head"):
        spec = tagging.specification(method, model="bert", max_length=14)
        tagging.perform(spec, tmp_path / method)
        table = pq.read_table(tmp_path / method / PREDICTIONS_FILE)
        parts.append(one.statistics(table.filter([is_test == "test" for is_test in splits(table)])))
    both = np.stack(parts, axis=1)  # (items, 2, k)
    scores = one.score(both)
    assert scores.shape == (2,)
    draws = np.random.default_rng(0).multinomial(len(both), [1 / len(both)] * len(both), 20)
    resampled = one.weighted(both, draws.astype(float))
    again = one.score(np.repeat(both, draws[3], axis=0))
    assert resampled[3] == pytest.approx(again)


def splits(table: object) -> list[str]:
    """The split of each prediction."""
    found: list[str] = table["split"].to_pylist()  # type: ignore[index]
    return found
