"""`max_runs`: a plan that is larger is refused before anything starts."""

from collections.abc import Callable
from typing import Any

import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan

Problems = Callable[[Any], list[str]]


def test_a_plan_as_large_as_allowed_is_made(small: dict[str, Any]) -> None:
    made = make_plan(parse_benchmark(small | {"max_runs": 6}))
    assert len(made.runs) == 6


def test_a_larger_one_is_refused_with_both_numbers(
    small: dict[str, Any], problems: Problems
) -> None:
    # Two seeds of the three cells of two tasks and two models.
    assert problems(small | {"max_runs": 5}) == [
        "max_runs: the plan has 6 (6 runs), allowed are 5 unless it says more; "
        "the largest axis is variants with 3"
    ]


def test_trials_count_and_name_their_axis(small: dict[str, Any], problems: Problems) -> None:
    small["tuning"] = {"seed": 9, "learning_rates": 4}
    assert problems(small | {"max_runs": 17}) == [
        "max_runs: the plan has 18 (6 runs and 12 trials), allowed are 17 unless it says more; "
        "the largest axis is tuning, in trials a cell, with 4"
    ]


def test_ten_thousand_are_allowed_unless_it_is_said(
    small: dict[str, Any], problems: Problems
) -> None:
    (problem,) = problems(small | {"seeds": list(range(3334))})
    assert problem.startswith("max_runs: the plan has 10002 (10002 runs), allowed are 10000 ")


def test_no_run_depends_on_it(small: dict[str, Any]) -> None:
    plans = [make_plan(parse_benchmark(small | more)) for more in ({}, {"max_runs": 6})]
    assert plans[0] == plans[1]


@pytest.mark.parametrize("value", [0, -1, 1.5, "six", True])
def test_only_a_positive_whole_number_is_allowed(
    value: object, small: dict[str, Any], problems: Problems
) -> None:
    (problem,) = problems(small | {"max_runs": value})
    assert problem.startswith("max_runs: ")
