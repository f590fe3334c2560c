"""The variants over all groups of a benchmark, on the groups and seeds that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparability import GROUP, split_by_fingerprint
from analysis.comparisons.contenders import Contenders, contenders
from analysis.comparisons.seeding import SEEDED, generator
from analysis.frame import present
from analysis.markdown import document
from analysis.notes import dequantised_notes, falling_notes, gaps
from analysis.quantities import NONE
from analysis.statistics.across_tasks import (
    Friedman,
    friedman_nemenyi,
    interquartile_mean,
    mean_ranks,
    probability_of_improvement,
)
from analysis.statistics.arrays import Floats
from analysis.statistics.bootstrap import RESAMPLES, Estimate
from analysis.summary import summarise

COLUMNS = (
    "variant",
    "groups",
    "seeds",
    "mean_rank",
    "metric",
    "iqm",
    "iqm_low",
    "iqm_high",
    "best",
    "improvement",
    "improvement_low",
    "improvement_high",
    "lacks",
)
WORDS = ("variant", "lacks")
NOTES = (
    "Mean rank: the rank of the variant's mean test score in each group, averaged over the groups; "
    "1 is best, equal means share a rank. Friedman's test asks whether all mean ranks are equal; "
    "where it says no, two variants differ if their mean ranks lie the critical difference of "
    "Nemenyi or more apart (level 0.05). Groups that share a task or a model are no independent "
    "samples, which both tests assume.",
    f"IQM: the mean of the middle half of all test scores of the variant, seeds and groups pooled, "
    f"with the 95 % interval of {RESAMPLES:,} resamples of the seeds within each group. "
    "P(improvement): the probability that a run of the variant beats one of the best, averaged "
    "over the groups, with an interval made alike. The best is the variant with the best mean "
    "rank. Both hold for these groups, not for others.",
    SEEDED,
)


@dataclass(frozen=True, eq=False)
class Common:
    """The groups, seeds and variants of which there is a test score in every combination."""

    groups: tuple[str, ...]
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: Floats
    """Shape (seeds, groups, variants)."""
    signs: tuple[int, ...]
    """Of each group 1 where a higher score is better, -1 where a lower one is."""
    metrics: tuple[str, ...]
    """The primary metrics of the groups, each once."""
    lacking: dict[str, str]
    """The other variants, and what each lacks."""
    left_out: tuple[str, ...]
    """What else is not part of it: groups without an ok run, seeds that not all groups have."""

    @property
    def gains(self) -> Floats:
        """Scores with the sign of their group's metric, of which more is better everywhere.

        Shape (seeds, groups, variants).
        """
        return np.asarray(self.signs, dtype=np.float64)[:, np.newaxis] * self.scores

    @property
    def means(self) -> Floats:
        """Mean gains over the seeds, shape (groups, variants)."""
        means: Floats = self.gains.mean(axis=0)
        return means

    @property
    def problem(self) -> str | None:
        """Why the variants cannot be compared over the groups; None if they can."""
        if len(self.groups) < 2:
            return f"it takes two groups with an ok run, there are {len(self.groups)}"
        if len(self.variants) < 2:
            return f"it takes two variants with every group, there are {len(self.variants)}"
        return None if self.seeds else "no seed ended ok in every group"


def has_several_groups(frame: pd.DataFrame) -> bool:
    """Whether runs of two or more pairs of task and model are planned."""
    return bool(frame.dropna(subset="run").groupby(GROUP).ngroups > 1)


def common(frame: pd.DataFrame) -> Common:
    """What the groups of a runs table have in common; a group is a task, model and fingerprint.

    A variant belongs to it that ended ok in every group, under every seed under which any variant
    of the group did: none is averaged over other groups or seeds than the rest.
    """
    parts = {part.title: part.rows for part in split_by_fingerprint(frame)}
    fields = {title: contenders(rows) for title, rows in parts.items()}
    measured = {title: field for title, field in fields.items() if field.seeds}
    names = list(dict.fromkeys(str(name) for name in frame["variant"]))
    lacking = {name: text for name in names if (text := _lacks(name, measured))}
    variants = [name for name in names if name not in lacking]
    seeds = _shared_seeds(measured)
    return Common(
        groups=tuple(measured),
        variants=tuple(variants),
        seeds=seeds,
        scores=_scores(measured, seeds, variants),
        signs=tuple(field.sign for field in measured.values()),
        metrics=tuple(
            dict.fromkeys(
                str(name) for title in measured for name in present(parts[title], "metric")
            )
        ),
        lacking=lacking,
        left_out=tuple(_left_out(fields, seeds)),
    )


def across_rows(shared: Common) -> pd.DataFrame:
    """One row a variant: mean rank, IQM and probability of improvement; the others say what lacks.

    What cannot be computed is missing, and the notes of `across_markdown` say why.
    """
    rows = [] if shared.problem else _variant_rows(shared)
    # where there is nothing to compare, the variants that lack nothing have no row of numbers
    rows += [{"variant": name} for name in shared.variants if shared.problem]
    rows += [{"variant": name, "lacks": text} for name, text in shared.lacking.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def across_markdown(frame: pd.DataFrame, shared: Common, rows: pd.DataFrame) -> str:
    """The rows in Markdown, with the common set, the tests and what was left out below."""
    text = pd.DataFrame([_text(row) for _, row in rows.iterrows()])
    notes = [*_set_notes(shared), *_test_notes(shared), *NOTES]
    notes += [*falling_notes(frame), *dequantised_notes(frame), *gaps(summarise(frame))]
    return document([("", text)], WORDS, notes)


def friedman(shared: Common) -> Friedman | str:
    """Friedman's test and the critical difference over the groups, or why there are none."""
    if shared.problem:
        return shared.problem
    try:
        return friedman_nemenyi(shared.means)
    except ValueError as error:
        return str(error)


def pooled_problem(shared: Common) -> str | None:
    """Why the scores of all groups cannot be pooled; None if they can."""
    if shared.problem:
        return shared.problem
    if len(shared.metrics) > 1:
        return f"the groups have unlike metrics: {', '.join(shared.metrics)}"
    return None


def _lacks(variant: str, measured: dict[str, Contenders]) -> str:
    """What a variant lacks in which group; empty where it lacks nothing."""
    absent = {
        title: field.lacking.get(variant, "not planned")
        for title, field in measured.items()
        if variant not in field.variants
    }
    return "; ".join(f"{title}: {text}" for title, text in absent.items())


def _shared_seeds(measured: dict[str, Contenders]) -> tuple[int, ...]:
    sets = [set(field.seeds) for field in measured.values()]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def _scores(
    measured: dict[str, Contenders], seeds: Sequence[int], variants: Sequence[str]
) -> Floats:
    """Shape (seeds, groups, variants)."""
    scores = np.empty((len(seeds), len(measured), len(variants)))
    for place, field in enumerate(measured.values()):
        rows = [field.seeds.index(seed) for seed in seeds]
        columns = [field.variants.index(name) for name in variants]
        scores[:, place] = field.scores[np.ix_(rows, columns)]
    return scores


def _left_out(fields: dict[str, Contenders], seeds: Sequence[int]) -> list[str]:
    lines = []
    for title, field in fields.items():
        spare = [str(seed) for seed in field.seeds if seed not in seeds]
        if not field.seeds:
            lines.append(f"{title} has no ok run")
        elif spare:
            lines.append(f"{title} has seed {', '.join(spare)}, which another group lacks")
    return lines


def _variant_rows(shared: Common) -> list[dict[str, Any]]:
    ranks = mean_ranks(shared.means)
    best = int(ranks.argmin())
    rows = []
    for place, name in enumerate(shared.variants):
        row: dict[str, Any] = {
            "variant": name,
            "groups": len(shared.groups),
            "seeds": " ".join(map(str, shared.seeds)),
            "mean_rank": float(ranks[place]),
            "best": shared.variants[best],
        }
        if len(shared.seeds) > 1:
            row |= _over_runs(shared, place, best)
        rows.append(row)
    return rows


def _over_runs(shared: Common, place: int, best: int) -> dict[str, Any]:
    """IQM and probability of improvement of one variant, from its scores under each seed."""
    mine, theirs = shared.gains[:, :, place], shared.gains[:, :, best]
    scores = shared.scores[:, :, place]
    rng = generator(*shared.groups, shared.variants[place], shared.variants[best])
    row: dict[str, Any] = {}
    if place != best:
        row |= _estimate("improvement", probability_of_improvement(mine, theirs, rng))
    if pooled_problem(shared) is None:
        row |= {"metric": shared.metrics[0]} | _estimate("iqm", interquartile_mean(scores, rng))
    return row


def _estimate(name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _text(row: pd.Series) -> dict[str, str]:
    return {
        "variant": row["variant"],
        "mean rank": NONE if pd.isna(row["mean_rank"]) else f"{row['mean_rank']:.2f}",
        "IQM": _estimate_text(row, "iqm"),
        "P(improvement)": "best"
        if row["variant"] == row["best"]
        else _estimate_text(row, "improvement"),
        "lacks": NONE if pd.isna(row["lacks"]) else row["lacks"],
    }


def _estimate_text(row: pd.Series, name: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return NONE if pd.isna(value) else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _set_notes(shared: Common) -> list[str]:
    """The common set, and what is not part of it."""
    if shared.problem:
        lines = [f"Nothing is compared over the groups: {shared.problem}."]
    else:
        seeds = ", ".join(map(str, shared.seeds))
        lines = [
            f"Common set: the groups {'; '.join(shared.groups)}; the variants "
            f"{', '.join(shared.variants)}; seeds {seeds}. A variant that lacks a run of it is "
            "named with what it lacks, and has no number."
        ]
    return lines + [f"Left out: {text}." for text in shared.left_out]


def _test_notes(shared: Common) -> list[str]:
    """Friedman's test in numbers, and why a figure is not there."""
    if shared.problem:
        return []
    test = friedman(shared)
    lines = [
        f"No Friedman test: {test}."
        if isinstance(test, str)
        else f"Friedman: chi-square {test.statistic:.2f} with {len(shared.variants) - 1} degrees "
        f"of freedom, p = {test.p_value:.3g}; critical difference {test.critical_difference:.2f}."
    ]
    if why := pooled_problem(shared):
        lines.append(f"No IQM: {why}.")
    if len(shared.seeds) < 2:
        lines.append("One seed: no IQM and no probability of improvement.")
    return lines
