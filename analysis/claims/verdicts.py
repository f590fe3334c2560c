"""Claims decided: each test's effect with its interval, and the verdicts.

The effect of a test is the mean over the seeds of what it measures, with its 95 % t interval; of a
ratio, the geometric mean, with the interval of the logarithms. It is held against the test's bound
by a two-sided t test, and the p-values of one claim are adjusted by Holm (1979). A ratio that one
run has timed for all seeds is the median of its rounds, held against the bound by a sign test.
"""

from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.evidence import Evidence
from analysis.claims.hypotheses import Sample, samples
from analysis.frame import present
from analysis.statistics.comparison import NO_SPREAD, holm, paired_t
from analysis.statistics.intervals import t_interval
from analysis.statistics.median import median_interval, sign_test
from finegrid.records.claims import Claim, RatioTest, TrendTest

Row = dict[str, Any]
LEVEL = 0.05
SUPPORTED, CONTRADICTED = "supported", "contradicted"
OPEN, UNTESTED = "not decided", "not measured"
COLUMNS = (
    "claim",
    "statement",
    "holds",
    "claim_verdict",
    "test",
    "kind",
    "model",
    "tasks",
    "variants",
    "reference",
    "measure",
    "unit",
    "effect",
    "effect_low",
    "effect_high",
    "exact",
    "side",
    "bound",
    "p_value",
    "p_value_holm",
    "verdict",
    "reason",
    "n_seeds",
    "seeds",
    "n_rounds",
    "n_items",
    "runs",
)
UNITS = {
    "ratio": "ratio",
    "gradients": "ratio",
    "difference": "test score",
    "interaction": "test score",
    "trend": "test score a doubling",
}


def claim_rows(claim: Claim, evidence: Evidence) -> list[Row]:
    """One row a test and place, or one that says why there is none; with the claim's verdict."""
    rows = [
        judged(sample) | {"test": number}
        for number, test in enumerate(claim.tests)
        for sample in samples(test, evidence)
    ]
    _decide(rows)
    verdict = combined(claim, [row["verdict"] for row in rows])
    if not rows:
        rows = [{"verdict": UNTESTED, "reason": claim.not_measured}]
    said = {"claim": claim.id, "statement": claim.statement, "holds": claim.holds}
    return [said | {"claim_verdict": verdict} | row for row in rows]


def claims_frame(claims: tuple[Claim, ...], evidence: Evidence) -> pd.DataFrame:
    """Every claim with its tests, in the order of the file."""
    rows = [row for claim in claims for row in claim_rows(claim, evidence)]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def combined(claim: Claim, verdicts: list[str]) -> str:
    """The verdict on a claim by those of its tests."""
    if not verdicts:
        return UNTESTED
    # everywhere needs every test, and one against it is enough; somewhere is the reverse
    everywhere = claim.holds == "everywhere"
    one, every = (CONTRADICTED, SUPPORTED) if everywhere else (SUPPORTED, CONTRADICTED)
    if one in verdicts:
        return one
    return every if set(verdicts) == {every} else OPEN


def judged(sample: Sample) -> Row:
    """The row of a sample before its verdict."""
    test, rows = sample.test, sample.rows
    reasons = sample.reasons or (() if sample.values else ("no seed has a value",))
    seeds = sample.exploded or tuple(sorted(sample.values))
    return {
        "kind": test.kind,
        "model": test.model,
        "tasks": " ".join(sample.tasks),
        "variants": " ".join(sample.variants),
        "reference": sample.reference,
        "measure": measure(sample),
        "unit": UNITS[test.kind],
        **_effect(sample),
        "side": "above" if test.below is None else "below",
        "bound": test.bound,
        "n_seeds": len(seeds),
        "seeds": " ".join(map(str, seeds)),
        "n_rounds": len(sample.rounds) or None,
        "n_items": " ".join(str(int(n)) for n in present(rows, "n_test").unique()),
        "runs": " ".join(present(rows, "run")),
        "reason": "; ".join(reasons) or None,
        "verdict": SUPPORTED if sample.exploded else OPEN if reasons else None,
    }


def measure(sample: Sample) -> str:
    """What a test measures, as a column, a score or a figure."""
    test = sample.test
    if isinstance(test, RatioTest):
        other = test.reference_measure
        return f"{test.measure} to {other}" if other else test.measure
    if isinstance(test, TrendTest):
        return f"test_score along {test.along}"
    return test.figure if test.kind == "gradients" else "test_score"


def _effect(sample: Sample) -> Row:
    """The mean over seeds, its interval where there are two, and the p-value of the bound."""
    values = np.array([sample.values[seed] for seed in sorted(sample.values)])
    if not len(values):
        return {"effect": None, "exact": False}
    if sample.constant:
        return {"effect": float(values[0]), "exact": True}
    if sample.rounds:
        return _effect_of_rounds(sample)
    scaled = np.log(values) if sample.logarithmic else values
    bound = float(np.log(sample.test.bound)) if sample.logarithmic else sample.test.bound
    back = np.exp if sample.logarithmic else np.float64
    row: Row = {"effect": float(back(scaled.mean())), "exact": False}
    test = paired_t(scaled, np.full_like(scaled, bound)) if len(values) > 1 else None
    if test is None or test.p_value is None:
        return row
    interval = t_interval(scaled)
    return row | {
        "effect_low": float(back(interval.low)),
        "effect_high": float(back(interval.high)),
        "p_value": test.p_value,
    }


def _effect_of_rounds(sample: Sample) -> Row:
    """The median over the rounds of one timing, between two order statistics, and a sign test."""
    interval = median_interval(sample.rounds) if len(sample.rounds) > 1 else None
    if interval is None:
        return {"effect": float(np.median(sample.rounds)), "exact": False}
    return {
        "effect": interval.mean,
        "exact": False,
        "effect_low": interval.low,
        "effect_high": interval.high,
        "p_value": sign_test(sample.rounds, sample.test.bound),
    }


def _decide(rows: list[Row]) -> None:
    """Give each row of one claim its verdict, with the p-values adjusted for one another."""
    tested = [row for row in rows if "p_value" in row]
    if tested:
        for row, p_value in zip(tested, holm([row["p_value"] for row in tested]), strict=True):
            row["p_value_holm"] = float(p_value)
    for row in rows:
        if row["verdict"] is None:
            row["verdict"], row["reason"] = _verdict(row, len(tested))


def _verdict(row: Row, tests: int) -> tuple[str, str | None]:
    effect, bound = row["effect"], row["bound"]
    side = SUPPORTED if (effect < bound) == (row["side"] == "below") else CONTRADICTED
    if row["exact"]:
        return (OPEN, "the effect equals the bound") if effect == bound else (side, None)
    if "p_value" not in row:
        return OPEN, NO_SPREAD if row["n_seeds"] > 1 else "one seed, and an interval takes 2"
    if row["p_value_holm"] <= LEVEL:
        return side, None
    if row["p_value"] <= LEVEL:
        p_values = f"p = {row['p_value']:.2g} is {row['p_value_holm']:.2g}"
        return OPEN, f"{p_values} when adjusted for the {tests} tests of the claim"
    return OPEN, "the interval holds the bound"
