"""The trials that a benchmark plans: the same number for every cell, each about its own centre."""

from collections.abc import Callable
from typing import Any

import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.records.plan import Plan
from finegrid.records.tuning import tuning_key
from workflow.pipeline import Pipeline

Content = dict[str, Any]


@pytest.fixture
def tuned(small: Content) -> Content:
    small["tuning"] = {"seed": 100, "learning_rates": 3, "ratio": 10.0}
    return small


def plan(content: Content) -> Plan:
    return make_plan(parse_benchmark(content))


def test_every_cell_has_as_many_trials(tuned: Content) -> None:
    made = plan(tuned)
    assert [len(cell.trials) for cell in made.cells] == [3] * len(made.cells)
    assert {spec.seed for spec in made.trials.values()} == {100}
    assert {spec.role for spec in made.trials.values()} == {"trial"}
    assert not set(made.trials) & set(made.runs)


@pytest.mark.parametrize(
    ("count", "ratio", "rates"),
    [
        (3, 10.0, [0.002, 0.02, 0.2]),
        (2, 4.0, [0.01, 0.04]),
        (5, 2.0, [0.005, 0.01, 0.02, 0.04, 0.08]),
    ],
)
def test_learning_rates_lie_evenly_about_the_variants_own(
    tuned: Content, count: int, ratio: float, rates: list[float]
) -> None:
    tuned["tuning"] |= {"learning_rates": count, "ratio": ratio}
    tuned["grids"][0]["variants"]["full"]["learning_rate"] = 0.02
    cell = next(cell for cell in plan(tuned).cells if cell.variant == "full")
    assert [spec.training.learning_rate for spec in cell.trials.values()] == rates


def test_other_keys_multiply_the_trials(tuned: Content) -> None:
    tuned["tuning"]["others"] = {"optimizer.weight_decay": [0.0, 0.1]}
    cell = plan(tuned).cells[0]
    found = [
        (spec.training.learning_rate, spec.training.optimizer.weight_decay)
        for spec in cell.trials.values()
    ]
    assert found == [(rate, decay) for rate in (0.001, 0.01, 0.1) for decay in (0.0, 0.1)]


def test_numbers_that_mean_the_same_give_one_identity(tuned: Content) -> None:
    tuned["grids"] = tuned["grids"][:1]
    tuned["grids"][0]["variants"] = {
        "lora": {"method": "lora", "settings": {"targets": ["linear"]}, "learning_rate": 0.01}
    }
    found = []
    for alphas, decays in (([8, 16], [0, 1]), ([8.0, 16.0], [0.0, 1.0])):
        others = {"settings.alpha": alphas, "optimizer.weight_decay": decays}
        tuned["tuning"]["others"] = others
        made = plan(tuned)
        found.append((set(made.runs), set(made.trials)))
    assert found[0] == found[1]


def test_a_trial_trains_as_the_tuning_says_and_keeps_the_rest(tuned: Content) -> None:
    tuned["training"] |= {"epochs": 4, "optimizer": {"weight_decay": 0.5, "betas": [0.8, 0.9]}}
    tuned["tuning"]["training"] = {"epochs": 2, "optimizer": {"weight_decay": 0.1}}
    one = next(iter(plan(tuned).trials.values())).training
    assert (one.epochs, one.optimizer.weight_decay, one.optimizer.betas) == (2, 0.1, (0.8, 0.9))


def test_a_grid_may_shorten_its_trials_further(tuned: Content) -> None:
    tuned["training"] |= {"epochs": 4}
    tuned["tuning"]["training"] = {"epochs": 2, "evaluations": 2}
    tuned["grids"][0]["trials"] = {"epochs": 1}
    found = {
        (spec.model.name, spec.training.epochs, spec.training.evaluations)
        for spec in plan(tuned).trials.values()
    }
    assert found == {("network", 1, 2), ("tiny", 2, 2)}


def test_trials_without_tuning_are_refused(
    small: Content, problems: Callable[[Any], list[str]]
) -> None:
    small["grids"][0]["trials"] = {"epochs": 1}
    assert problems(small) == ["grids: number 0 has trials; allowed: with tuning alone"]


def test_a_new_run_seed_leaves_the_trials_as_they_are(tuned: Content) -> None:
    before = plan(tuned)
    after = plan(tuned | {"seeds": [0, 1, 2]})
    assert before.trials == after.trials
    assert before.runs.items() < after.runs.items()


def test_another_grid_makes_other_runs(tuned: Content) -> None:
    before = plan(tuned).runs
    tuned["tuning"]["ratio"] = 3.0
    assert not set(before) & set(plan(tuned).runs)


def test_a_benchmark_without_tuning_plans_no_trials(small: Content) -> None:
    assert plan(small).trials == {}


def test_the_pipeline_ties_trials_to_the_choice_and_the_choice_to_the_runs(tuned: Content) -> None:
    pipeline = Pipeline.from_config(tuned | {"results": "out"})
    spec = next(iter(pipeline.runs.values()))
    key = tuning_key(spec)
    assert pipeline.run_choice(spec.run) == [f"out/tuning/{key}.json"]
    trials = pipeline.tuning_trials(key)
    assert len(trials) == 3
    for path in trials:
        run = path.split("/")[-2]
        assert pipeline.run_choice(run) == []
        assert pipeline.jobs[run].cell == spec.cell
    assert pipeline.outputs.tuning_table == ["out/tables/small-tuning.csv"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "tuning: seed 1 is a seed of the runs; allowed: any other"),
        ({"ratio": 1.0}, "tuning.ratio: 1.0 is not allowed; input should be greater than 1"),
        ({"learning_rates": 0}, "tuning.learning_rates: 0 is not allowed; input should be greater"),
        ({"learning_rate": 3}, "tuning.learning_rate: unknown key 'learning_rate': did you mean"),
        (
            {"others": {"learning_rate": [0.1]}},
            "tuning.others: learning_rate is tuned already; allowed: other keys",
        ),
        (
            {"training": {"learning_rate": 0.1}},
            "tuning.training: learning_rate is tuned; allowed: other keys",
        ),
        (
            {"others": {"optimizer.weight_deacy": [0.1]}},
            "tuning.others.optimizer.weight_deacy: unknown key 'weight_deacy': did you mean 'weig",
        ),
        (
            {"others": {"warmup_fraction": [0.1, 1.5]}},
            "tuning.others.warmup_fraction: 1.5 is not allowed; input should be less than 1",
        ),
        (
            {"others": {"settings.rank": [2]}},
            "tuning.others.settings.rank: unknown key 'rank'",
        ),
        ({"others": {"epochs": []}}, "tuning.others.epochs: [] is not allowed; allowed: at least"),
        ({"training": {"epochs": 0}}, "tuning.training.epochs: 0 is not allowed"),
    ],
)
def test_a_mistake_is_named(
    tuned: Content, problems: Callable[[Any], list[str]], change: Content, message: str
) -> None:
    tuned["tuning"] |= change
    assert any(problem.startswith(message) for problem in problems(tuned)), problems(tuned)
