"""The page of the claims in Markdown: the verdicts, what each rests on, and the details."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis.claims.evidence import Evidence, layer_names
from analysis.claims.hypotheses import Sample, Values, samples, shared
from analysis.claims.verdicts import CONTRADICTED, OPEN, SUPPORTED
from analysis.comparability import split_by_fingerprint
from analysis.markdown import bullets, table
from analysis.notes import coverage, dequantised_notes, shared_conditions
from analysis.quantities import NONE
from analysis.statistics.intervals import t_interval
from finegrid.records.claims import Claim, GradientTest, TrendTest

WORDS = ("claim", "statement", "verdict", "what", "on", "reason", "unit", "layer")
NOTES = (
    "Each test compares runs under the same seeds. Its effect is the mean over these seeds, with "
    "its 95 % Student t interval; of a ratio, the geometric mean. A ratio of constants, such as "
    "parameter counts, is exact: there is no interval. A latency that one run has timed for all "
    "seeds is the median of its rounds, between two order statistics; its interval is over these "
    "rounds in one process, and a sign test decides.",
    "A test is decided where its effect lies on one side of its bound at level 0.05, two-sided: "
    "`supported` on the side of the claim, `contradicted` on the other. Within a claim the "
    "p-values are adjusted by Holm. Between claims nothing is adjusted: of 20 claims whose effects "
    "lie on their bounds, one is decided by chance.",
    "A claim that holds everywhere is supported by all of its tests and contradicted by one; a "
    "claim that holds somewhere is supported by one and contradicted by all.",
    "`not decided` says that these runs cannot tell: too few seeds for the size of the effect, a "
    "run that failed, or runs that are not comparable. It does not say that there is no effect.",
    "Intervals are over seeds on fixed test items: they say nothing about other test items, and "
    "the effects hold for these models, tasks and sizes. The CSV beside this page names the runs "
    "of each row.",
)


def page(benchmark: str, claims: Sequence[Claim], rows: pd.DataFrame, evidence: Evidence) -> str:
    """The page of the rows that `claims_frame` gives."""
    blocks = [
        f"# Claims of {benchmark}, measured",
        bullets([*_measured_on(evidence), *NOTES]),
        "## Verdicts",
        table(_verdicts(rows), WORDS),
        "## Tests",
        _tests(rows[rows["kind"].notna()]),
        *_details(claims, evidence),
    ]
    return "\n\n".join(blocks) + "\n"


def _measured_on(evidence: Evidence) -> Iterator[str]:
    if evidence.plan.description:
        yield evidence.plan.description
    conditions = shared_conditions(split_by_fingerprint(evidence.frame))
    values = ", ".join(f"{key} {value}" for key, value in conditions.items())
    measured = values or "nothing is the same for all runs"
    yield f"{coverage(evidence.frame)} Same for all of them: {measured}."
    yield from dequantised_notes(evidence.frame)


def _verdicts(rows: pd.DataFrame) -> pd.DataFrame:
    cut = rows.groupby("claim", sort=False)
    return pd.DataFrame([_verdict_text(claim) for _, claim in cut])


def _verdict_text(rows: pd.DataFrame) -> dict[str, str]:
    first = rows.iloc[0]
    counts = [f"{(rows['verdict'] == v).sum()} {v}" for v in (SUPPORTED, CONTRADICTED, OPEN)]
    tested = pd.notna(first["kind"])
    return {
        "claim": first["claim"],
        "statement": first["statement"],
        "verdict": f"**{first['claim_verdict']}**",
        "tests": ", ".join(counts) if tested else "none",
        "reason": f"needs {'all' if first['holds'] == 'everywhere' else 'one'}"
        if tested
        else str(first["reason"]),
    }


def _tests(rows: pd.DataFrame) -> str:
    tests = [_test_text(row) for _, row in rows.iterrows()]
    return table(pd.DataFrame(tests), WORDS) if tests else "No claim has a test."


def _test_text(row: pd.Series) -> dict[str, str]:
    against = f" against {row['reference']}" if row["reference"] else ""
    return {
        "claim": row["claim"],
        "what": f"{str(row['measure']).replace('_', ' ')}: {_names(row['variants'])}{against}",
        "on": f"{_names(row['tasks'])} · {row['model']}",
        "unit": row["unit"],
        "effect": effect_text(row),
        "bound": f"{row['side']} {number(row['bound'], row['unit'])}",
        "seeds": _seeds(row),
        "items": _names(row["n_items"]) or NONE,
        "p": NONE if pd.isna(row["p_value_holm"]) else f"{row['p_value_holm']:.2g}",
        "verdict": row["verdict"],
        "reason": NONE if pd.isna(row["reason"]) else row["reason"],
    }


def _seeds(row: pd.Series) -> str:
    """How many seeds an effect is of, and how many rounds where one was timed for all."""
    rounds = "" if pd.isna(row["n_rounds"]) else f" ({row['n_rounds']:.0f} rounds)"
    return f"{row['n_seeds']}{rounds}"


def _names(joined: str) -> str:
    return joined.replace(" ", ", ")


def number(value: float, unit: str) -> str:
    """A bound or an effect: of a ratio three digits, of a score three decimals with the sign."""
    if unit != "ratio":
        return f"{value:+.3f}" if value else "0"
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".removesuffix(".")


def effect_text(row: pd.Series) -> str:
    """The effect of a test with its interval."""
    if pd.isna(row["effect"]):
        return NONE
    effect, unit = number(row["effect"], row["unit"]), row["unit"]
    if row["exact"]:
        return f"{effect} (exact)"
    if pd.isna(row["effect_low"]):
        return f"{effect} (no interval)"
    low, high = (number(row[key], unit) for key in ("effect_low", "effect_high"))
    return f"{effect} ({low} to {high})"


def _details(claims: Sequence[Claim], evidence: Evidence) -> Iterator[str]:
    """A table of every trend, and of the gradient norms of every model and its tasks."""
    for claim in claims:
        for test in claim.tests:
            if isinstance(test, TrendTest):
                for sample in samples(test, evidence):
                    yield from _trend(claim, test, sample)
    yield from _gradient_norms(claims, evidence)


def _trend(claim: Claim, test: TrendTest, sample: Sample) -> Iterator[str]:
    along = test.along.partition(".")[2]
    names = sample.variants if test.along.startswith("options.") else sample.tasks
    yield f"## {claim.id}: {names[0]} by {along}"
    ours = names[0] if names is sample.variants else "variant"
    rows = [
        {
            "what": point.name,
            along: f"{point.number:g}",
            test.reference: _mean_text(point.theirs, ".3f"),
            ours: _mean_text(point.ours, ".3f"),
            "difference": _mean_text(
                {seed: point.gap(seed) for seed in shared(point.ours, point.theirs)}, "+.3f"
            ),
        }
        for point in sample.points
    ]
    yield table(pd.DataFrame(rows), WORDS)


def _mean_text(values: Values, style: str) -> str:
    if len(values) < 2:
        return "".join(f"{value:{style}} (one seed)" for value in values.values()) or NONE
    interval = t_interval(list(values.values()))
    return f"{interval.mean:{style}} ± {interval.half_width:.3f}"


def _gradient_norms(claims: Sequence[Claim], evidence: Evidence) -> Iterator[str]:
    for (task, model), variants in gradient_places(claims).items():
        columns = {variant: _by_layer(evidence, model, task, variant) for variant in variants}
        frame = pd.DataFrame(columns)
        if frame.empty:
            continue
        frame = frame.map(lambda value: NONE if pd.isna(value) else f"{value:.2g}")
        yield f"## Gradient norms by layer: {task} · {model}"
        yield (
            "The median norm over the training steps, before clipping; of the seeds the median. "
            f"{NONE}: the variant trains nothing in that layer. The figure has them over the steps."
        )
        yield table(frame.rename_axis("layer").reset_index(), WORDS)


def gradient_places(claims: Sequence[Claim]) -> dict[tuple[str, str], list[str]]:
    """(task, model) -> the variants whose gradients a claim is about."""
    places: dict[tuple[str, str], list[str]] = {}
    for test in (test for claim in claims for test in claim.tests):
        for task in test.tasks if isinstance(test, GradientTest) else ():
            found = places.setdefault((task, test.model), [])
            found += [name for name in test.variants if name not in found]
    return places


def _by_layer(evidence: Evidence, model: str, task: str, variant: str) -> dict[str, float]:
    """Layer -> median norm, in the order of the model."""
    norms = evidence.recorded_gradients(evidence.rows(model, [task], [variant]))
    return {
        layer: float(np.median([one.layers[layer].median for one in norms if layer in one.layers]))
        for layer in layer_names(norms)
    }
