"""The loop that the grid is held against trains the same runs."""

from pathlib import Path

import pytest

from finegrid.prepare.model import prepare_model
from finegrid.records.specification import model_key
from measurements.careful import trained
from measurements.grid import makespan, write_benchmark
from tests.training.assets import Assets
from workflow.pipeline import Pipeline


@pytest.mark.parametrize(
    ("seconds", "cores", "last"),
    [([3, 2, 2], 2, 4), ([4, 1, 1, 1, 1], 2, 4), ([1, 1, 1], 1, 3), ([5, 5, 4, 4, 3, 3, 3], 3, 11)],
)
def test_the_longest_job_goes_first_to_the_core_that_is_free_first(
    seconds: list[float], cores: int, last: float
) -> None:
    """The last case is Graham's (1969, figure 6), whose best schedule takes 9."""
    assert makespan(seconds, cores) == last


@pytest.mark.parametrize(
    ("model", "pooling", "least"),
    [("bert", None, 0.6), ("bert", "mean", 0.6), ("network", None, 0.0)],
)
def test_the_careful_script_learns_what_a_run_learns(
    assets: Assets, tmp_path: Path, model: str, pooling: str | None, least: float
) -> None:
    """The model of the default benchmark has a mean of its states in place of a pooler."""
    spec = assets.specification(model=model, epochs=8, evaluations=8, learning_rate=1e-2)
    if pooling:
        pooled = spec.model.model_copy(update={"pooling": pooling})
        spec = spec.model_copy(update={"model": pooled})
        folder, tasks = assets.prepared / "models" / model_key(pooled), assets.prepared / "tasks"
        prepare_model(pooled, folder, tasks=tasks, cache=tmp_path)
        assets.encode(spec)
    metrics = assets.run(spec, tmp_path).metrics
    assert metrics is not None
    expected = metrics.test["accuracy"].value
    assert expected >= least
    assert trained(spec, assets.prepared) == pytest.approx(expected, abs=0.25)


def test_the_benchmark_of_the_grid_is_another_one_on_fewer_seeds(tmp_path: Path) -> None:
    file = tmp_path / write_benchmark(tmp_path, "smoke", [0])
    assert {spec.seed for spec in Pipeline.plan_from({"benchmark": str(file)}).runs.values()} == {0}
