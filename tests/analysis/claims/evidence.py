"""Claims and the runs that decide them, made with effects that are known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from analysis.claims.evidence import Evidence
from analysis.claims.verdicts import claims_frame
from analysis.collect import collect
from finegrid.records.claims import Claim, Test
from finegrid.records.plan import Cell, Plan
from finegrid.records.result import RESULT_FILE, Gradients, Norms, Result, Score
from finegrid.records.specification import Specification
from tests.analysis.benchmark import SEEDS, VARIANTS, bad_result, ok_result, specification

Edit = Callable[[Result], Result]
Scores = tuple[float, float, float]
BASE = {"model": "tiny", "reference": "everything"}
RATIO = BASE | {"kind": "ratio", "tasks": ["letters"], "variants": ["small-2"]}
DIFFERENCE = BASE | {"kind": "difference", "tasks": ["letters"], "variants": ["small-2"]}
LAYERS = {
    "kind": "gradients",
    "model": "tiny",
    "tasks": ["letters"],
    "variants": ["small-2"],
    "figure": "smallest-to-largest-block",
}


def scored(*values: float) -> Edit:
    """A run of seed s whose test score is the s-th value."""

    def edit(result: Result) -> Result:
        assert result.metrics is not None
        test = {"accuracy": Score(value=values[result.spec.seed], n=200)}
        return result.model_copy(
            update={"metrics": result.metrics.model_copy(update={"test": test})}
        )

    return edit


def timed(*seconds: float) -> Edit:
    """A run of seed s whose training took the s-th number of seconds."""

    def edit(result: Result) -> Result:
        assert result.time is not None
        update = {"train_seconds": seconds[result.spec.seed]}
        return result.model_copy(update={"time": result.time.model_copy(update=update)})

    return edit


def flat(median: float) -> Norms:
    return Norms(first=median, minimum=median, median=median, maximum=median, last=median)


def graded(*smallest: float) -> Edit:
    """A run of seed s whose layers have the medians 2 and 2 x the s-th value."""

    def edit(result: Result) -> Result:
        # a layer that is no block has another shape, and its norm is compared with none
        layers = {
            "last": flat(1e-9),
            "body.0": flat(2.0),
            "body.1": flat(2 * smallest[result.spec.seed]),
        }
        norms = Gradients(first=8.0, minimum=1.0, median=2.0, maximum=10.0, last=4.0, layers=layers)
        return result.model_copy(update={"gradients": norms})

    return edit


def unchanged(result: Result) -> Result:
    return result


def build_evidence(
    folder: Path,
    cells: dict[tuple[str, str], Edit],
    bad: dict[tuple[str, str, int], str] | None = None,
    seeds: tuple[int, ...] = SEEDS,
    options: dict[str, dict[str, Any]] | None = None,
) -> Evidence:
    """The evidence of cells: (task, variant) -> what is done to each of its results."""
    made = []
    for (task, variant), edit in cells.items():
        specs = [with_options(task, variant, seed, options or {}) for seed in seeds]
        for spec in specs:
            state = (bad or {}).get((task, variant, spec.seed), "ok")
            if state != "missing":
                ok = state == "ok"
                result = edit(ok_result(spec)) if ok else bad_result(spec, state, "why")
                result.write(folder / "runs" / spec.run / RESULT_FILE)
        made.append(
            Cell(
                task=task,
                model="tiny",
                variant=variant,
                method=VARIANTS[variant][0],
                runs={spec.run: spec for spec in specs},
            )
        )
    plan = Plan(benchmark="demo", cells=tuple(made))
    return Evidence(plan, collect(plan, folder / "runs"), folder / "runs")


def with_options(
    task: str, variant: str, seed: int, options: dict[str, dict[str, Any]]
) -> Specification:
    spec = specification(task, variant, seed)
    own = spec.task.model_copy(update={"options": options.get(task, {})})
    return spec.model_copy(update={"task": own})


def claim(*tests: dict[str, Any], **more: Any) -> Claim:
    adapter: TypeAdapter[Test] = TypeAdapter(Test)
    made = tuple(adapter.validate_python(test, strict=False) for test in tests)
    return Claim(id="it", statement="It is so.", tests=made, **more)


def decide(evidence: Evidence, *tests: dict[str, Any], **more: Any) -> pd.DataFrame:
    return claims_frame((claim(*tests, **more),), evidence)


def only(frame: pd.DataFrame) -> pd.Series:
    assert len(frame) == 1
    return frame.iloc[0]


def pair(ours: Edit, theirs: Edit, task: str = "letters") -> dict[tuple[str, str], Edit]:
    return {(task, "small-2"): ours, (task, "everything"): theirs}
