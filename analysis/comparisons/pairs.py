"""Every pair of variants of a group, compared on shared seeds and shared test items."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparability import PART, Part, by_part, split_by_fingerprint
from analysis.comparisons.items import Items, read_items
from analysis.comparisons.seeding import SEEDED, generator
from analysis.frame import present
from analysis.markdown import Block, document
from analysis.notes import dequantised_notes, falling_notes, gaps
from analysis.quantities import NONE, count_text, interval_text
from analysis.statistics.arrays import Floats
from analysis.statistics.bootstrap import (
    RESAMPLES,
    Resampled,
    UndefinedResampleError,
    resample,
)
from analysis.statistics.comparison import (
    NO_SPREAD,
    holm,
    mcnemar,
    paired_bootstrap,
    paired_t,
)
from analysis.statistics.ranking import flip_shares
from analysis.summary import summarise
from finegrid.metrics.contract import WeightedMetric

Row = dict[str, Any]

COLUMNS = (
    *PART,
    "metric",
    "first",
    "second",
    "seeds",
    "n_seeds",
    "score_difference",
    "score_difference_low",
    "score_difference_high",
    "p_value",
    "p_value_holm",
    "n_items",
    "bootstrap_low",
    "bootstrap_high",
    "probability_better",
    "probability_flip",
    "mcnemar_seed",
    "mcnemar_first_only",
    "mcnemar_second_only",
    "mcnemar_p_value",
    "reason",
)
WORDS = ("first", "second", "not computed", "pairs")
NOTES = (
    "Each row compares two variants on the seeds under which both ended ok, and on their test "
    "items. The difference is the score of the first less that of the second.",
    "Difference: the mean over the seeds ± half of its 95 % paired t interval. p: of the paired t "
    "test over seeds, adjusted by Holm over all pairs of the task, model and fingerprint; the CSV "
    "beside this table holds the raw one. A large p is no evidence that two variants are equal: "
    "with few seeds the test overlooks all but large differences.",
    f"Bootstrap: the 95 % percentile interval of the difference over {RESAMPLES:,} resamples of "
    "seeds and of test items, both the same for the two variants. P(better): the share of them in "
    "which the first variant is ahead. P(flip): the share in which the two are ordered unlike "
    "here. With few seeds these see too little of the variance between seeds.",
    "McNemar: on the first shared seed alone, the test items that only the first and only the "
    "second variant has right, and the exact two-sided p; of a metric that counts right items, and "
    "of no other.",
    SEEDED,
)

ONE_SEED = "one shared seed: no interval, no test over seeds"
_OF_A_PAIR = ("seed", "variant", "run", "metric", "test_score")


def pair_rows(frame: pd.DataFrame, runs: Path) -> pd.DataFrame:
    """One row each pair of variants of a task, model and fingerprint, in the order of the plan.

    `runs` is the folder of all runs, whose predictions give the statistics over test items. What
    cannot be computed is missing, and `reason` says why. Raises AnalysisError as `read_items` does.
    """
    rows = [row for part in split_by_fingerprint(frame) for row in _part_rows(part, runs)]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def pair_markdown(frame: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """The pairs in Markdown, a table each task, model and fingerprint, with notes below.

    Pairs without a shared seed are named in the notes.
    """
    summary = summarise(frame)
    shown = pairs[pairs["n_seeds"] > 0]
    blocks = [
        (title, pd.DataFrame([_text(row) for _, row in rows.iterrows()]))
        for title, rows in by_part(shown)
    ]
    notes = [
        *NOTES,
        *falling_notes(frame),
        *dequantised_notes(frame),
        *_unpaired(pairs),
        *gaps(summary),
    ]
    return document(blocks or [_nothing()], WORDS, notes)


def _part_rows(part: Part, runs: Path) -> list[Row]:
    ok = part.rows[part.rows["state"] == "ok"]
    items = read_items(ok, runs)
    # Of a hundred columns these: each of many pairs takes rows of its two variants.
    by_seed = ok[list(_OF_A_PAIR)].set_index("seed")
    cells = {
        str(name): by_seed[by_seed["variant"] == name] for name in part.rows["variant"].unique()
    }
    resamples = _Resamples(part, cells, items)
    rows = [
        {
            **part.identity,
            "metric": next(iter(present(ok, "metric")), None),
            "first": first,
            "second": second,
            **_pair(resamples, first, second),
        }
        for first, second in combinations(cells, 2)
    ]
    tested = [row for row in rows if "p_value" in row]
    if tested:
        adjusted = holm([row["p_value"] for row in tested])
        for row, p_value in zip(tested, adjusted, strict=True):
            row["p_value_holm"] = float(p_value)
    return rows


@dataclass(frozen=True)
class _Resamples:
    """The ok runs of each variant of a part by their seeds, and resamples that pairs share."""

    part: Part
    cells: Mapping[str, pd.DataFrame]
    items: Items
    _known: dict[tuple[int, ...], tuple[list[str], Resampled]] = field(default_factory=dict)

    def of(self, seeds: list[int], *variants: str) -> Resampled:
        """Scores of the variants on these seeds, drawn once for all that ended ok under them.

        Raises UndefinedResampleError.
        """
        key = tuple(map(int, seeds))
        if key not in self._known:
            names = [name for name in self.cells if self._has_items(name, seeds)]
            matrices = [self.items.matrix(self.cells[name].loc[seeds, "run"]) for name in names]
            part = self.part
            rng = generator(part.task, part.model, part.fingerprint, *map(str, key))
            weighted = self.items.judge.weighted
            drawn = resample(np.stack(matrices, axis=2), rng, weighted=weighted)
            self._known[key] = names, drawn
        names, drawn = self._known[key]
        return drawn.of(*map(names.index, variants))

    def _has_items(self, name: str, seeds: list[int]) -> bool:
        cell = self.cells[name]
        return cell.index.isin(seeds).sum() == len(seeds) and not self.items.why_none(
            cell.loc[seeds, "run"]
        )


def _pair(resamples: _Resamples, first: str, second: str) -> Row:
    """What compares two variants on the seeds under which both ended ok."""
    runs = resamples.cells[first], resamples.cells[second]
    items = resamples.items
    seeds = sorted(set(runs[0].index) & set(runs[1].index))
    row: Row = {"seeds": " ".join(map(str, seeds)), "n_seeds": len(seeds)}
    if not seeds:
        return row | {"reason": "no shared ok seed"}
    sides = [rows.loc[seeds] for rows in runs]
    one, other = (side["test_score"].to_numpy(dtype=np.float64) for side in sides)
    row |= {"score_difference": float(np.mean(one - other))} | _over_seeds(one, other)
    reasons = [] if "p_value" in row else [NO_SPREAD if len(seeds) > 1 else ONE_SEED]
    if why := items.why_none(pd.concat(sides)["run"]):
        reasons.append(f"no statistics over test items: {why}")
        return row | {"reason": "; ".join(reasons)}
    ours, theirs = (items.matrix(side["run"]) for side in sides)
    row |= {"n_items": ours.shape[1]} | _on_one_seed(ours[0], theirs[0], seeds[0], items)
    if min(ours.shape[:2]) < 2:
        return row | {"reason": "; ".join(reasons) or None}
    try:
        row |= _over_items(resamples.of(seeds, first, second), items.judge)
    except UndefinedResampleError as error:
        reasons.append(f"no bootstrap: {error}")
    return row | {"reason": "; ".join(reasons) or None}


def _over_seeds(one: Floats, other: Floats) -> Row:
    """The paired t interval and test, where there are two seeds with unlike differences."""
    test = paired_t(one, other) if len(one) > 1 else None
    if test is None or test.p_value is None:
        return {}
    return {
        "score_difference_low": test.difference.low,
        "score_difference_high": test.difference.high,
        "p_value": test.p_value,
    }


def _on_one_seed(one: Floats, other: Floats, seed: int, items: Items) -> Row:
    """McNemar's test where the score of an item is 0 or 1; one, other: statistics (items, k)."""
    metric = items.judge
    if not metric.binary:
        return {}
    # a set of one item each: statistics (1, items, k), scores (items,)
    exact = mcnemar(*(metric.score(side[np.newaxis]) for side in (one, other)))
    return {
        "mcnemar_seed": int(seed),
        "mcnemar_first_only": exact.first_only,
        "mcnemar_second_only": exact.second_only,
        "mcnemar_p_value": exact.p_value,
    }


def _over_items(pair: Resampled, metric: WeightedMetric) -> Row:
    """What the resamples of seeds and items say of a pair."""
    resampled = paired_bootstrap(pair)
    better = resampled.probability_positive if metric.sign > 0 else resampled.probability_negative
    return {
        "bootstrap_low": resampled.difference.low,
        "bootstrap_high": resampled.difference.high,
        "probability_better": better,
        "probability_flip": float(flip_shares(pair)[0, 1]),
    }


def _text(row: pd.Series) -> dict[str, str]:
    half = row["score_difference_high"] - row["score_difference"]
    interval = "" if pd.isna(half) else f" ± {half:.3f}"
    return {
        "first": row["first"],
        "second": row["second"],
        "seeds": str(row["n_seeds"]),
        "test items": count_text(row["n_items"]),
        "difference": f"{row['score_difference']:+.3f}{interval}",
        "p (Holm)": _p_text(row["p_value_holm"]),
        "bootstrap": interval_text(row["bootstrap_low"], row["bootstrap_high"]),
        "P(better)": _share_text(row["probability_better"]),
        "P(flip)": _share_text(row["probability_flip"]),
        "McNemar": _mcnemar_text(row),
        "not computed": NONE if pd.isna(row["reason"]) else row["reason"],
    }


def _p_text(value: float | None) -> str:
    if pd.isna(value):
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _share_text(value: float | None) -> str:
    return NONE if pd.isna(value) else f"{value:.2f}"


def _mcnemar_text(row: pd.Series) -> str:
    if pd.isna(row["mcnemar_seed"]):
        return NONE
    counts = f"{row['mcnemar_first_only']} : {row['mcnemar_second_only']}"
    return f"{counts}, p {_p_text(row['mcnemar_p_value'])}"


def _unpaired(pairs: pd.DataFrame) -> list[str]:
    """The pairs without a shared seed, a line each task, model and fingerprint."""
    lonely = pairs[pairs["n_seeds"] == 0]
    return [
        f"{title}: no shared ok seed: "
        + ", ".join(f"{row['first']} and {row['second']}" for _, row in rows.iterrows())
        + "."
        for title, rows in by_part(lonely)
    ]


def _nothing() -> Block:
    return "", pd.DataFrame([{"pairs": "no two variants ended ok under one seed and fingerprint"}])
