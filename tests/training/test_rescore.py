"""The scores again from the predictions: what was changed on either side is found."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finegrid.records.identity import file_sha256
from finegrid.records.result import (
    DELTA_FILE,
    HISTORY_FILE,
    PREDICTIONS_FILE,
    RESULT_FILE,
    Metrics,
    Result,
    Score,
)
from finegrid.records.specification import Task
from finegrid.training.rescore import Rescored, rescore
from tests.training.assets import SIZES, Assets, run_folder


@pytest.fixture(scope="module")
def finished(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run as training left it."""
    results = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        spec = assets.specification(epochs=3)
        assets.run(spec, results)
    return run_folder(spec, results)


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy, free to be changed."""
    return Path(shutil.copytree(finished, tmp_path / finished.name))


def metrics_of(folder: Path) -> Metrics:
    metrics = Result.read(folder / RESULT_FILE).metrics
    assert metrics is not None
    return metrics


def record(folder: Path, **changes: Any) -> None:
    """Write the record with other metrics."""
    rewrite(folder, metrics=metrics_of(folder).model_copy(update=changes))


def rewrite(folder: Path, **changes: Any) -> None:
    """Write the record with other values, as a whole one."""
    result = Result.read(folder / RESULT_FILE)
    result.model_copy(update=changes).sealed().write(folder / RESULT_FILE)


def predictions(folder: Path) -> list[dict[str, Any]]:
    """A row an example."""
    rows: list[dict[str, Any]] = pq.read_table(folder / PREDICTIONS_FILE).to_pylist()
    return rows


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write other predictions, and their hash into the record."""
    pq.write_table(pa.Table.from_pylist(rows), folder / PREDICTIONS_FILE)
    files = Result.read(folder / RESULT_FILE).files
    rewrite(folder, files=files | {PREDICTIONS_FILE: file_sha256(folder / PREDICTIONS_FILE)})


def test_a_run_agrees_with_its_predictions(finished: Path) -> None:
    assert rescore(finished) == Rescored(2, ())


@pytest.mark.parametrize("split", ["validation", "test"])
def test_another_recorded_score_is_found(folder: Path, split: str) -> None:
    score = getattr(metrics_of(folder), split)["accuracy"]
    higher = Score(value=score.value + 1e-9, n=score.n)
    record(folder, **{split: {"accuracy": higher}})
    (problem,) = rescore(folder).problems
    assert problem == f"{split} accuracy: recorded {higher.value!r}, again {score.value!r}"


def test_rounding_of_the_last_bit_agrees(folder: Path) -> None:
    score = metrics_of(folder).test["accuracy"]
    record(folder, test={"accuracy": Score(value=np.nextafter(score.value, 2), n=score.n)})
    assert rescore(folder).problems == ()


def test_a_changed_prediction_is_found_though_the_score_agrees(folder: Path) -> None:
    rows = predictions(folder)
    row = [row for row in rows if row["split"] == "test"][3]
    row["prediction"] = (row["prediction"] + 1) % 3
    write(folder, rows)
    (problem,) = rescore(folder).problems
    assert problem.startswith(f"test: 1 of {SIZES['test']} predictions are not what their outputs")
    assert problem.endswith(row["id"])


def test_changed_logits_are_found_by_decision_and_score(folder: Path) -> None:
    rows = predictions(folder)
    right = (r for r in rows if r["split"] == "test" and r["prediction"] == r["label"])
    row = next(right)
    row["logits"] = [-value for value in row["logits"]]
    write(folder, rows)
    decision, score = rescore(folder).problems
    assert decision.startswith("test: 1 of")
    was = metrics_of(folder).test["accuracy"].value
    recorded, again = score.removeprefix("test accuracy: recorded ").split(", again ")
    assert float(recorded) == was
    assert float(again) == pytest.approx(was - 1 / SIZES["test"], abs=1e-12)


def test_a_changed_label_is_found(folder: Path) -> None:
    rows = predictions(folder)
    rows[0]["label"] = (rows[0]["label"] + 1) % 3
    write(folder, rows)
    (problem,) = rescore(folder).problems
    assert problem.startswith("validation accuracy: recorded ")


def test_predictions_that_are_gone_are_found(folder: Path) -> None:
    rows = predictions(folder)
    write(folder, rows[:-1])
    *_, problem = rescore(folder).problems
    assert problem == "test accuracy: recorded on 24 examples, predictions hold 23"
    write(folder, [row for row in rows if row["split"] == "validation"])
    assert rescore(folder).problems == ("test: no predictions",)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), " is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), ": Could not open Parquet"),
        (lambda path: path.write_bytes(b""), ": Could not open Parquet"),
        (lambda path: pd.DataFrame({"split": ["test"]}).to_parquet(path), ": No match for"),
    ],
)
def test_a_missing_or_damaged_file_is_named_where_the_record_knows_no_hash(
    folder: Path, damage: Callable[[Path], Any], message: str
) -> None:
    rewrite(folder, files={})
    damage(folder / PREDICTIONS_FILE)
    found = rescore(folder)
    assert found.scores == 0
    (problem,) = found.problems
    assert problem.startswith(f"{PREDICTIONS_FILE}{message}")
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        ([1.0, 2.0], "same shape"),
        ([np.nan, 1.0, 2.0], "a logit is no finite number"),
        (None, "logits are missing"),
    ],
)
def test_logits_that_decide_nothing_are_named(folder: Path, logits: Any, message: str) -> None:
    rows = predictions(folder)
    rows[0]["logits"] = logits
    write(folder, rows)
    (problem,) = rescore(folder).problems
    assert problem.startswith("validation: ")
    assert message in problem


@pytest.mark.parametrize("name", [DELTA_FILE, HISTORY_FILE, PREDICTIONS_FILE])
def test_one_flipped_byte_beside_the_record_is_named_with_both_hashes(
    folder: Path, name: str
) -> None:
    path = folder / name
    before, content = file_sha256(path), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert rescore(folder).problems == (f"{name}: sha256 {file_sha256(path)}, recorded {before}",)


@pytest.mark.parametrize("name", [DELTA_FILE, HISTORY_FILE, PREDICTIONS_FILE])
def test_a_file_that_is_gone_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert rescore(folder).problems == (f"{name} is missing",)


def test_a_damaged_record_is_named(folder: Path) -> None:
    text = (folder / RESULT_FILE).read_text()
    (folder / RESULT_FILE).write_text(text.replace('"state": "ok"', '"state": "fine"'))
    (problem,) = rescore(folder).problems
    assert problem.startswith("result.json: state: Input should be 'ok', ")


def test_a_run_without_scores_has_nothing_to_compare(folder: Path) -> None:
    rewrite(folder, state="oom", reason="it was too large", metrics=None, files={})
    (folder / PREDICTIONS_FILE).unlink()
    assert rescore(folder) == Rescored(0, ())


def test_only_the_splits_of_the_record_are_compared(folder: Path) -> None:
    result = Result.read(folder / RESULT_FILE)
    spec = result.spec.model_copy(update={"role": "trial"})
    metrics = metrics_of(folder).model_copy(update={"test": {}})
    rewrite(folder, spec=spec, run=spec.run, metrics=metrics)
    write(folder, [row for row in predictions(folder) if row["split"] == "validation"])
    assert rescore(folder) == Rescored(1, ())


def test_a_regression_is_scored_by_its_single_output(folder: Path) -> None:
    draw = np.random.default_rng(0)
    outputs, labels = draw.normal(size=30), draw.normal(size=30)
    value = float(np.corrcoef(outputs, labels)[0, 1])
    scores = {"pearson": Score(value=value, n=30)}
    spec = Result.read(folder / RESULT_FILE).spec
    options: dict[str, Any] = {"x": [[1], [2]], "y": [1, 2], "held_out": 0}
    task = Task(name="points", task="given-points", options=options)
    spec = spec.model_copy(update={"task": task})
    rewrite(folder, spec=spec, run=spec.run)
    record(folder, primary="pearson", validation=scores, test=scores, trivial=None)
    rows = [
        {"split": s, "id": f"{s}-{at}", "label": label, "prediction": out, "logits": [out]}
        for s in ("validation", "test")
        for at, (label, out) in enumerate(zip(labels.tolist(), outputs.tolist(), strict=True))
    ]
    write(folder, rows)
    assert rescore(folder) == Rescored(2, ())
    write(folder, [row | {"prediction": 1.0, "logits": [1.0]} for row in rows])
    with pytest.warns(match="constant"):
        problems = rescore(folder).problems
    assert [problem.partition(", again: ")[2] for problem in problems] == [
        "pearson has no value on 30 predictions"
    ] * 2
