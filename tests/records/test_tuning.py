"""Trials of a cell, and the choice by their scores, against choices made by hand."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from finegrid.records.result import Choice, Score, Trial, Values
from finegrid.records.specification import Network, Source, Specification, Task, Tuning, Variant
from finegrid.records.training import Optimizer, Training
from finegrid.records.tuning import (
    Judge,
    beyond,
    candidates,
    cell_specification,
    choose,
    trial,
    tuned,
    tuning_key,
)

CORRELATION = Judge("pearson", sign=1)
ERROR = Judge("mse", sign=-1)
SHARE = Judge("accuracy", sign=1)
TUNING = Tuning(
    seed=9,
    grid={"learning_rate": (0.1, 0.3, 0.9), "optimizer.weight_decay": (0.0, 0.5)},
    ratio=3.0,
    training={"epochs": 1, "optimizer": {"epsilon": 1e-6}},
)


def specification(**changed: Any) -> Specification:
    plain: dict[str, Any] = {
        "task": Task(name="t", task="t", source=Source(uri="path:x")),
        "model": Network(kind="network", name="m", layers=(4, 3, 2)),
        "variant": Variant(name="v", method="v", settings={"rank": 2, "alpha": 4.0}),
        "training": Training(
            learning_rate=0.3,
            epochs=5,
            batch_size=2,
            optimizer=Optimizer(weight_decay=0.1, betas=(0.8, 0.9)),
        ),
        "seed": 0,
        "tuning": TUNING,
    }
    return Specification(**(plain | changed))


def tried(rate: float, value: float | None, **changed: Any) -> Trial:
    score = None if value is None else Score(value=value, n=10)
    state = "ok" if score else "diverged"
    plain = {"run": f"r{rate}", "values": {"learning_rate": rate}, "state": state, "score": score}
    return Trial.model_validate(plain | changed)


def share(value: float) -> Score:
    """The share of 100 right items, whose standard error is the binomial one."""
    return Score(value=value, n=100, standard_error=(value * (1 - value) / 100) ** 0.5)


def test_the_grid_is_every_combination_in_ascending_order_of_the_learning_rate() -> None:
    assert [tuple(values.values()) for values in candidates(TUNING)] == [
        (0.1, 0.0),
        (0.1, 0.5),
        (0.3, 0.0),
        (0.3, 0.5),
        (0.9, 0.0),
        (0.9, 0.5),
    ]


def test_a_trial_has_the_tunings_seed_its_shorter_training_and_its_values() -> None:
    one = trial(specification(), {"learning_rate": 0.9, "optimizer.weight_decay": 0.5})
    assert (one.seed, one.role, one.tuning) == (9, "trial", None)
    assert one.training == Training(
        learning_rate=0.9,
        epochs=1,
        batch_size=2,
        optimizer=Optimizer(weight_decay=0.5, betas=(0.8, 0.9), epsilon=1e-6),
    )


def test_a_tuned_run_keeps_its_seed_and_training_but_for_the_values() -> None:
    spec = specification(seed=3)
    run = tuned(spec, {"learning_rate": 0.9, "optimizer.weight_decay": 0.5})
    assert (run.seed, run.role, run.tuning) == (3, "run", None)
    optimizer = Optimizer(weight_decay=0.5, betas=(0.8, 0.9))
    expected = spec.training.model_copy(update={"learning_rate": 0.9, "optimizer": optimizer})
    assert run.training == expected


def test_a_setting_of_the_method_can_be_tuned() -> None:
    run = tuned(specification(), {"learning_rate": 0.1, "settings.alpha": 8.0})
    assert run.variant.settings == {"rank": 2, "alpha": 8.0}


@pytest.mark.parametrize(
    "values", [{"learning_rate": -1.0}, {"learning_rate": 0.1, "optimizer.wd": 1.0}]
)
def test_values_that_are_not_allowed_are_refused(values: Values) -> None:
    with pytest.raises(ValidationError):
        trial(specification(), values)


def test_seeds_of_a_cell_share_its_key_and_its_trials() -> None:
    specs = [specification(seed=seed) for seed in (0, 1)]
    assert len({spec.run for spec in specs}) == 2
    assert len({tuning_key(spec) for spec in specs}) == 1
    assert cell_specification(specs[0]) == cell_specification(specs[1])
    values = candidates(TUNING)[0]
    assert trial(specs[0], values) == trial(specs[1], values)


def test_a_run_that_is_not_tuned_has_no_key() -> None:
    with pytest.raises(ValueError, match="not tuned"):
        tuning_key(specification(tuning=None))


@pytest.mark.parametrize(
    ("scores", "rate", "edge"),
    [
        ({0.1: 0.5, 0.3: 0.7, 0.9: 0.6}, 0.3, None),
        ({0.1: 0.7, 0.3: 0.7, 0.9: 0.6}, 0.1, "lower"),
        ({0.1: 0.5, 0.3: 0.7, 0.9: 0.8}, 0.9, "upper"),
        ({0.1: 0.5, 0.3: 0.7, 0.9: None}, 0.3, None),
        ({0.1: -0.5, 0.3: -0.7, 0.9: None}, 0.1, "lower"),
        ({0.1: 0.5}, 0.1, None),
    ],
    ids=["inside", "equal scores", "upper", "one diverged", "negative scores", "one rate"],
)
def test_the_best_score_wins_where_a_score_has_no_standard_error_over_items(
    scores: dict[float, float | None], rate: float, edge: str | None
) -> None:
    trials = [tried(*one) for one in reversed(scores.items())]
    choice = choose("key", CORRELATION, trials)
    assert choice.chosen == {"learning_rate": rate}
    assert choice.chosen_run == choice.best_run == f"r{rate}"
    assert choice.edge == edge
    assert (choice.rule, choice.standard_error) == ("best", None)
    assert [one.values["learning_rate"] for one in choice.trials] == sorted(scores)


def test_of_a_metric_of_which_less_is_better_the_lowest_score_wins() -> None:
    scores = {0.1: 0.5, 0.3: 0.2, 0.9: 0.1, 1.8: 0.1}
    choice = choose("key", ERROR, [tried(*one) for one in scores.items()])
    assert (choice.metric, choice.chosen_run, choice.edge) == ("mse", "r0.9", None)
    upper = choose("key", ERROR, [tried(*one) for one in list(scores.items())[:3]])
    assert (upper.chosen_run, upper.edge) == ("r0.9", "upper")


@pytest.mark.parametrize(
    ("scores", "rate", "best", "edge"),
    [
        # On 100 items the standard error of 0.8 is 0.04.
        ({0.1: 0.75, 0.3: 0.77, 0.9: 0.8}, 0.3, 0.9, "upper"),
        ({0.1: 0.77, 0.3: 0.8, 0.9: 0.6}, 0.1, 0.3, None),
        ({0.1: 0.5, 0.3: 0.6, 0.9: 0.8}, 0.9, 0.9, "upper"),
        ({0.1: 0.8, 0.3: 0.79, 0.9: 0.8}, 0.1, 0.1, "lower"),
        ({0.1: None, 0.3: 0.78, 0.9: 0.8}, 0.3, 0.9, "upper"),
        # Of a perfect score it is 0.
        ({0.1: 0.99, 0.3: 1.0, 0.9: 1.0}, 0.3, 0.3, None),
    ],
)
def test_the_lowest_rate_within_one_standard_error_of_the_best_wins(
    scores: dict[float, float | None], rate: float, best: float, edge: str | None
) -> None:
    trials = [
        tried(rate, value, score=None if value is None else share(value))
        for rate, value in scores.items()
    ]
    choice = choose("key", SHARE, trials)
    assert (choice.chosen, choice.chosen_run) == ({"learning_rate": rate}, f"r{rate}")
    assert (choice.best_run, choice.edge) == (f"r{best}", edge)
    assert choice.rule == "one-standard-error"
    top = max(value for value in scores.values() if value is not None)
    assert choice.standard_error == pytest.approx((top * (1 - top) / 100) ** 0.5)


def test_of_one_learning_rate_the_better_of_its_trials_wins() -> None:
    values = {(0.1, 0.0): 0.78, (0.1, 0.5): 0.79, (0.3, 0.0): 0.8, (0.03, 0.5): 0.5}
    trials = [
        tried(
            rate,
            value,
            run=f"r{rate}-{decay}",
            values={"learning_rate": rate, "optimizer.weight_decay": decay},
            score=share(value),
        )
        for (rate, decay), value in values.items()
    ]
    assert choose("key", SHARE, trials).chosen_run == "r0.1-0.5"


def test_a_choice_from_before_there_were_two_rules_is_one_by_the_best_score() -> None:
    plain = choose("key", CORRELATION, [tried(0.1, 0.5)]).model_dump(mode="json")
    for key in ("rule", "best_run", "standard_error"):
        del plain[key]
    old = Choice.model_validate_json(json.dumps(plain))
    assert (old.rule, old.chosen_run, old.best_run) == ("best", "r0.1", None)


def test_nothing_is_chosen_where_no_trial_has_a_score() -> None:
    choice = choose("key", SHARE, [tried(0.1, None), tried(0.3, None)])
    assert (choice.chosen, choice.chosen_run, choice.edge) == (None, None, None)


@pytest.mark.parametrize(("edge", "rate"), [("lower", 0.0333), ("upper", 2.7)])
def test_the_grid_grows_by_the_ratio(edge: Any, rate: float) -> None:
    grown = beyond(TUNING, edge)
    assert grown.learning_rates == [rate]
    assert len(candidates(grown)) == 2


def test_a_trial_has_no_tuning_of_its_own() -> None:
    with pytest.raises(ValidationError, match="no tuning of its own"):
        specification(role="trial")


def test_a_tuning_without_learning_rates_is_refused() -> None:
    with pytest.raises(ValidationError, match="learning_rate is missing"):
        Tuning(seed=1, grid={"warmup_fraction": (0.1,)}, ratio=2.0)
