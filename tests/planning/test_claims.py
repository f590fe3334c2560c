"""Claims in a benchmark file: what is wrong with one is said, and a right one changes no run."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finegrid.planning.benchmark import parse_benchmark, read_benchmark
from finegrid.planning.plan import make_plan
from finegrid.records.plan import Plan
from workflow.pipeline import Pipeline

Problems = Callable[[Any], list[str]]
AT = "claims.hypotheses[0].tests[0]"
RATIO: dict[str, Any] = {
    "kind": "ratio",
    "model": "network",
    "tasks": ["digits"],
    "variants": ["lora-r2"],
    "reference": "full",
    "measure": "stored_bytes",
    "below": 1.0,
}
COMMON = {key: RATIO[key] for key in ("model", "tasks", "variants", "reference")}
TREND = COMMON | {"kind": "trend", "above": 0.0, "along": "options.train"}
INTERACTION: dict[str, Any] = {
    "kind": "interaction",
    "model": "network",
    "easier": "digits",
    "harder": "digits",
    "variants": ["lora-r2"],
    "reference": "full",
    "below": 0.0,
}


def claiming(small: dict[str, Any], *tests: dict[str, Any], **more: Any) -> dict[str, Any]:
    claim = {"id": "smaller", "statement": "It is smaller.", "tests": list(tests)} | more
    return small | {"claims": {"hypotheses": [claim]}}


# id: the test, and the fragments of the one line: key, value, what is allowed.
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "kind": (RATIO | {"kind": "ration"}, [f"{AT}.kind: unknown kind 'ration'", "'ratio'?"]),
    "key": (RATIO | {"beneath": 1.0}, ["unknown key 'beneath'", "allowed: "]),
    "measure": (RATIO | {"measure": "bytes"}, [f'{AT}.measure: "bytes"', "'stored_bytes'"]),
    "model": (RATIO | {"model": "net"}, [f"{AT}.model: unknown model 'net'", "'network'?"]),
    "task": (RATIO | {"tasks": ["digit"]}, ["tasks[0]: unknown task 'digit'", "'digits'?"]),
    "variant": (RATIO | {"variants": ["lora"]}, ["variants[0]: unknown variant 'lora'"]),
    "reference": (RATIO | {"reference": "ful"}, ["reference: unknown variant 'ful'", "'full'?"]),
    "no cell": (
        RATIO | {"variants": ["adapter"]},
        [f'{AT}.variants: "adapter" is not allowed', "a variant with runs of model 'network'"],
    ),
    "itself": (RATIO | {"variants": ["full"]}, [f'{AT}.reference: "full"', "allowed: another"]),
    "no bound": (RATIO | {"below": None}, [AT, "is required, and only one of them"]),
    "two bounds": (RATIO | {"above": 0.5}, [AT, "is required, and only one of them"]),
    "negative ratio": (RATIO | {"below": -1.0}, [AT, "-1.0 is none; allowed: above 0"]),
    "along what": (TREND | {"along": "train"}, [f'{AT}.along: "train"', "settings.<key>"]),
    "along nothing": (TREND | {"along": "options.trian"}, ["'digits' has no number above 0 there"]),
    "one point": (TREND, [f"{AT}.along", "a trend takes two different numbers"]),
    "no reference": (
        {key: COMMON[key] for key in ("model", "tasks", "variants")}
        | {"kind": "gradients", "figure": "last-to-first-step", "below": 0.01},
        [f'{AT}.figure: "last-to-first-step"', "below a bound it takes a reference"],
    ),
    "one task": (INTERACTION, [f'{AT}.harder: "digits"', "allowed: another"]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_test_is_explained(small: dict[str, Any], problems: Problems, name: str) -> None:
    test, fragments = CASES[name]
    (line,) = problems(claiming(small, test))
    for fragment in fragments:
        assert fragment in line


def test_a_claim_is_tested_or_says_why_not(small: dict[str, Any], problems: Problems) -> None:
    assert "is required, and only one of them" in problems(claiming(small))[0]
    both = claiming(small, RATIO, not_measured="no such task")
    assert "is required, and only one of them" in problems(both)[0]
    make_plan(parse_benchmark(claiming(small, not_measured="no such task")))


def test_an_id_stands_once(small: dict[str, Any], problems: Problems) -> None:
    content = claiming(small, RATIO)
    content["claims"]["hypotheses"] *= 2
    assert "the id 'smaller' stands twice" in problems(content)[0]


@pytest.mark.parametrize("table", ["small", "small-runs"])
def test_a_table_that_would_replace_another_is_refused(
    small: dict[str, Any], problems: Problems, table: str
) -> None:
    content = claiming(small, RATIO)
    content["claims"]["table"] = table
    (line,) = problems(content)
    assert line.startswith(f"claims: table '{table}' may be a file of the benchmark 'small'")


def test_claims_change_no_run_and_are_in_the_plan(small: dict[str, Any], tmp_path: Path) -> None:
    before = make_plan(parse_benchmark(small))
    after = make_plan(parse_benchmark(claiming(small, RATIO)))
    assert before.runs == after.runs
    assert (before.claims, before.claims_table) == (None, None)
    after.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == after
    assert after.claims_table == "small-claims"


def pipeline(content: dict[str, Any], folder: Path) -> Pipeline:
    file = folder / "benchmark.yaml"
    file.write_text(yaml.safe_dump(content))
    return Pipeline.plan_from({"benchmark": str(file), "results": "r"})


def test_the_pipeline_asks_for_the_claims_where_there_are_any(
    small: dict[str, Any], tmp_path: Path
) -> None:
    assert pipeline(copy.deepcopy(small), tmp_path).outputs.claims == []
    content = claiming(small, RATIO)
    content["claims"]["table"] = "said"
    assert pipeline(content, tmp_path).outputs.claims == [
        "r/tables/said.csv",
        "r/tables/said.md",
        "r/plots/small-claims.png",
        "r/plots/small-claims.svg",
        "r/plots/small-gradients.png",
        "r/plots/small-gradients.svg",
    ]


def test_the_article_has_its_claims_in_a_table_of_that_name() -> None:
    plan = make_plan(read_benchmark("article"))
    assert (len(plan.cells), len(plan.runs), len(plan.trials)) == (39, 117, 117)
    assert plan.claims is not None
    assert plan.claims_table == "claims"
    untested = [claim.id for claim in plan.claims.hypotheses if claim.not_measured]
    assert untested == ["speech", "medicine"]


def test_the_article_sweeps_one_domain_with_all_else_equal() -> None:
    options = {
        spec.task.options["train"]: {k: v for k, v in spec.task.options.items() if k != "train"}
        for spec in make_plan(read_benchmark("article")).runs.values()
        if spec.task.options.get("domain") == "movie"
    }
    assert sorted(map(str, options)) == sorted(["64", "128", "256", "500", "1024", "2048"])
    assert len(set(map(str, options.values()))) == 1


def test_the_article_trains_on_every_size_for_as_many_steps() -> None:
    """Else what little data cost could be what few steps cost; the trials train as runs do."""
    plan = make_plan(read_benchmark("article"))
    assert plan.claims is not None
    (test,) = next(
        one for one in plan.claims.hypotheses if one.id == "worse-with-little-data"
    ).tests
    steps = {
        -(-int(str(spec.task.options["train"])) // spec.training.batch_size) * spec.training.epochs
        for spec in (plan.runs | plan.trials).values()
        if spec.task.name in test.tasks and spec.variant.name in (*test.variants, "full")
    }
    assert steps == {128}


def test_trials_choose_among_as_many_states_as_runs() -> None:
    for name in ("article", "default"):
        for cell in make_plan(read_benchmark(name)).cells:
            specs = [*cell.runs.values(), *cell.trials.values()]
            assert (
                len({(spec.training.evaluations, spec.training.checkpoint) for spec in specs}) < 2
            )
