import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.prepare.task import prepare_task
from finegrid.problems import ConfigurationError
from finegrid.records.prepared import SPLITS, PreparedTask
from finegrid.records.specification import Network, Task
from tasks.given_points import GivenPoints

X = ((1.0, -1.0), (2.0, 0.5), (3.0, 0.0), (4.0, 2.0), (5.0, 1e6), (6.0, 0.0), (7.0, 3.0))
Y = (2.0, 4.0, 6.0, 8.0, -10.0, 12.0, 14.0)


def made(held_out: int, split_seed: int = 0) -> dict[Any, pd.DataFrame]:
    return dict(GivenPoints(x=X, y=Y, held_out=held_out, split_seed=split_seed).read(Path()))


def pairs(rows: pd.DataFrame) -> set[tuple[tuple[float, ...], float]]:
    return {(tuple(x.tolist()), y) for x, y in zip(rows["features"], rows["label"], strict=True)}


ALL = {(tuple(map(float, x)), y) for x, y in zip(np.array(X, dtype=np.float32), Y, strict=True)}


def test_without_held_out_points_every_split_holds_them_all() -> None:
    splits = made(0)
    assert {name: pairs(rows) for name, rows in splits.items()} == dict.fromkeys(SPLITS, ALL)
    ids = [name for rows in splits.values() for name in rows["id"]]
    assert len(set(ids)) == len(ids) == 3 * len(X)
    assert list(splits["train"]["label"]) == list(Y)


@pytest.mark.parametrize(("held_out", "train"), [(2, 3), (3, 1)])
def test_held_out_points_are_in_one_split_each(held_out: int, train: int) -> None:
    splits = made(held_out)
    sizes = {name: len(rows) for name, rows in splits.items()}
    assert sizes == {"train": train, "validation": held_out, "test": held_out}
    assert set.union(*(pairs(rows) for rows in splits.values())) == ALL
    assert pairs(made(held_out, split_seed=1)["test"]) != pairs(splits["test"])


@pytest.mark.parametrize(("held_out", "shared"), [(0, 7), (2, 0)])
def test_the_prepared_task_says_how_many_points_its_splits_share(
    tmp_path: Path, held_out: int, shared: int
) -> None:
    options: dict[str, Any] = {"x": [list(row) for row in X], "y": list(Y), "held_out": held_out}
    manifest = prepare_task(Task(name="p", task="given-points", options=options), tmp_path)
    assert [overlap.exact for overlap in manifest.overlaps] == [shared] * 3
    stored = pd.read_parquet(tmp_path / "train.parquet")
    assert stored["features"][0].dtype == np.float32
    assert set(stored["label"]) <= set(Y)


def points(**changes: Any) -> dict[str, Any]:
    options = {"x": [[1.0], [2.0], [3.0], [4.0], [5.0]], "y": [1, 2, 3, 4, 5], "held_out": 0}
    return {"task": "given-points", "options": options, **changes}


@pytest.mark.parametrize(
    ("task", "layers", "message"),
    [
        (points(source={"uri": "path:README.md"}), [1, 4, 1], "hold the data; allowed: no source"),
        (points(), [2, 4, 1], "layers start with 2, task 'p' has inputs of 1; allowed: 1"),
        (points(), [1, 4, 2], "layers end in 2, task 'p' takes 1; allowed: 1"),
        ({"task": "digits"}, [784, 8, 10], "tasks.p.source: this key is required"),
    ],
)
def test_what_does_not_fit_is_said_before_any_job(
    task: dict[str, Any], layers: list[int], message: str
) -> None:
    content = benchmark(task, {"kind": "network", "layers": layers})
    with pytest.raises(ConfigurationError) as caught:
        make_plan(parse_benchmark(content))
    (problem,) = caught.value.problems
    assert message in problem


def benchmark(task: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "small",
        "seeds": [0, 1],
        "training": {"epochs": 1, "batch_size": 2, "learning_rate": 0.01},
        "tasks": {"p": task},
        "models": {"m": model},
        "grids": [{"tasks": ["p"], "models": ["m"], "variants": {"full": {"method": "full"}}}],
    }


def test_a_loss_can_be_the_primary_metric(tmp_path: Path) -> None:
    options: dict[str, Any] = {"x": [list(row) for row in X], "y": list(Y), "held_out": 0}
    manifest = prepare_task(Task(name="p", task="given-points", options=options), tmp_path)
    content = manifest.model_dump(mode="json")
    assert PreparedTask.model_validate_json(json.dumps(content)) == manifest
    content["metrics"] = ["mse", "r2"]
    assert PreparedTask.model_validate_json(json.dumps(content)).metrics == ("mse", "r2")


def test_a_line_has_no_layer_to_factor() -> None:
    from finegrid.models.anatomies import Anatomies
    from finegrid.models.blueprint import Purpose

    line, deep = (
        Anatomies().of(Network(kind="network", name="line", layers=widths), Purpose())
        for widths in ((1, 1), (1, 8, 1))
    )
    assert line.missing(("linear",)) == ["linear"]
    assert [(one.in_features, one.out_features) for one in deep.parts] == [(1, 8)]
