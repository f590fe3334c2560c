"""Which variants of a group are compared: those with a score under every seed of the group."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.metric import sign_of
from analysis.statistics.arrays import Floats
from analysis.statistics.comparison import indistinguishable_from_best

LEVEL = 0.05
"""Two variants are told apart where their adjusted p-value is at most this."""
BEST, NOT_SIGNIFICANT, WORSE = "best", "n.s.", "worse"


@dataclass(frozen=True, eq=False)
class Contenders:
    """The test scores of the variants of one group under the same seeds."""

    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: Floats
    """Shape (seeds, variants)."""
    sign: int
    """1 where a higher score is better, -1 where a lower one is."""
    lacking: dict[str, str]
    """The other variants of the group, and what each lacks."""


@dataclass(frozen=True)
class Standing:
    """How a variant stands against the best of its group."""

    mark: str
    p_value: float | None
    """Of the paired t test against the best over seeds, adjusted by Holm; 1 for the best itself.

    None where every seed gives the same difference.
    """


def contenders(rows: pd.DataFrame) -> Contenders:
    """The variants that ended ok under every seed under which any variant of the group did.

    `rows` are those of one group of the runs table. A variant that lacks a seed is left out, so
    that all means are over the same seeds, and no seed is given up for its sake.
    """
    table = _scores_by_seed(rows)
    absent = table.isna()
    lacking = {
        str(name): _lack(absent[name]) for name in table if absent[name].any() or table.empty
    }
    kept = [str(name) for name in table if name not in lacking]
    scores = table[kept].to_numpy(dtype=np.float64)
    return Contenders(tuple(kept), tuple(map(int, table.index)), scores, sign_of(rows), lacking)


def standings(rows: pd.DataFrame) -> dict[str, Standing]:
    """How each contender of a group stands against the best; empty where none can be tested.

    A test takes two contenders and two seeds.
    """
    field = contenders(rows)
    if len(field.variants) < 2 or len(field.seeds) < 2:
        return {}
    test = indistinguishable_from_best(field.sign * field.scores, LEVEL)
    marks = [NOT_SIGNIFICANT if one else WORSE for one in test.indistinguishable]
    marks[test.best] = BEST
    return {
        name: Standing(mark, None if np.isnan(p_value) else float(p_value))
        for name, mark, p_value in zip(field.variants, marks, test.p_values, strict=True)
    }


def _scores_by_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """The test scores of the ok runs: a row a seed, a column a variant, NaN where there is none."""
    ok = rows[rows["state"] == "ok"].dropna(subset="test_score")
    table = ok.pivot(index="seed", columns="variant", values="test_score").astype(float)
    return table.reindex(columns=list(dict.fromkeys(rows["variant"]))).sort_index()


def _lack(absent: pd.Series) -> str:
    """Words for the seeds without a score."""
    if absent.all():
        return "no ok run"
    seeds = [str(seed) for seed in absent.index[absent]]
    return f"no ok run of seed {', '.join(seeds)}"
