"""Settings of training that a grid or a variant has on some of its tasks alone."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.records.training import Training

Problems = Callable[[Any], list[str]]


@pytest.fixture
def two(small: dict[str, Any]) -> dict[str, Any]:
    """Two tasks on a network, each by two variants."""
    small["tasks"]["fewer"] = copy.deepcopy(small["tasks"]["digits"])
    small["tasks"]["fewer"]["options"]["train"] = 32
    small["grids"] = small["grids"][:1]
    small["grids"][0]["tasks"] = ["digits", "fewer"]
    return small


def trainings(content: dict[str, Any]) -> dict[tuple[str, str], Training]:
    """By task and variant what the runs of the first seed train with."""
    runs = make_plan(parse_benchmark(content)).runs.values()
    return {(one.task.name, one.variant.name): one.training for one in runs if one.seed == 0}


def test_a_grid_in_two_is_a_grid_by_task(two: dict[str, Any]) -> None:
    """Written out, as it was said before there was this key: the very same runs."""
    (grid,) = two["grids"]
    apart = [copy.deepcopy(grid) | {"tasks": [task]} for task in grid["tasks"]]
    apart[1]["training"] = {"epochs": 5}
    apart[1]["variants"]["full"] |= {"learning_rate": 0.5, "training": {"batch_size": 8}}
    written_out = make_plan(parse_benchmark(two | {"grids": apart})).runs
    grid["by_task"] = {"fewer": {"epochs": 5}}
    grid["variants"]["full"]["by_task"] = {"fewer": {"learning_rate": 0.5, "batch_size": 8}}
    assert make_plan(parse_benchmark(two)).runs == written_out
    assert len(written_out) == 8


def test_the_nearest_wins_and_of_these_what_names_the_task(two: dict[str, Any]) -> None:
    (grid,) = two["grids"]
    grid |= {"training": {"epochs": 2}, "by_task": {"fewer": {"epochs": 3, "batch_size": 8}}}
    grid["variants"]["full"] |= {
        "learning_rate": 0.1,
        "training": {"epochs": 4},
        "by_task": {"fewer": {"learning_rate": 0.2, "optimizer": {"weight_decay": 0.3}}},
    }
    found = trainings(two)
    full, lora = found["fewer", "full"], found["fewer", "lora-r2"]
    assert (full.epochs, full.batch_size, full.learning_rate) == (4, 8, 0.2)
    assert (lora.epochs, lora.batch_size, lora.learning_rate) == (3, 8, 0.01)
    assert (full.optimizer.name, full.optimizer.weight_decay) == ("adamw", 0.3)
    other, plain = found["digits", "full"], found["digits", "lora-r2"]
    assert (other.epochs, other.batch_size, other.learning_rate) == (4, 32, 0.1)
    assert (plain.epochs, plain.batch_size, plain.learning_rate) == (2, 32, 0.01)


def test_the_learning_rate_of_a_task_is_the_centre_of_its_tuning(two: dict[str, Any]) -> None:
    two["tuning"] = {"seed": 9, "learning_rates": 3, "ratio": 2.0}
    two["grids"][0]["variants"]["full"]["by_task"] = {"fewer": {"learning_rate": 0.5}}
    made = make_plan(parse_benchmark(two))
    tried = {
        cell.task: sorted(trial.training.rate for trial in cell.trials.values())
        for cell in made.cells
        if cell.variant == "full"
    }
    assert tried == {"digits": [0.005, 0.01, 0.02], "fewer": [0.25, 0.5, 1.0]}


VARIANT = {"method": "full", "grid": {"training.epochs": [1, 2]}}


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        (
            {"by_task": {"fewr": {"epochs": 2}}},
            ["grids[0].by_task.fewr: ", "did you mean 'fewer'? allowed: digits, fewer"],
        ),
        (
            {"variants": {"full": {"method": "full", "by_task": {"words": {"epochs": 2}}}}},
            ["grids[0].variants.full.by_task.words: ", "allowed: digits, fewer"],
        ),
        (
            {"by_task": {"fewer": {"epoch": 2}}},
            ["grids[0].by_task.fewer.epoch: ", "did you mean 'epochs'?"],
        ),
        (
            {"by_task": {"fewer": {"epochs": 0}}},
            ["grids[0].by_task.fewer.epochs: 0 ", "greater than or equal to 1"],
        ),
        (
            {"variants": {"full-{epochs}": VARIANT | {"by_task": {"fewer": {"epochs": 3}}}}},
            ["grids[0].variants.full-{epochs}.by_task.fewer.epochs: ", "in grid too"],
        ),
        (
            {
                "variants": {
                    "full": {"method": "full", "by_task": {"fewer": {"micro_batch_size": 5}}}
                }
            },
            ["grids[0].variants.full.by_task.fewer.micro_batch_size: 5 ", "must divide batch_size"],
        ),
    ],
)
def test_a_mistake_is_one_line(
    two: dict[str, Any], problems: Problems, change: dict[str, Any], fragments: list[str]
) -> None:
    two["grids"][0] |= change
    (line,) = problems(two)
    assert all(fragment in line for fragment in fragments), line
