"""Variants compared over several tasks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.statistics.arrays import Floats, check_share, checked
from analysis.statistics.bootstrap import (
    RESAMPLES,
    Estimate,
    chunks,
    draw_counts,
    percentile_estimate,
)

TRIM = 0.25
"""Share cut from either end by the interquartile mean."""


@dataclass(frozen=True, eq=False)
class Friedman:
    """Mean ranks, the Friedman test that they are equal, and how far apart two must lie."""

    mean_ranks: Floats
    """Shape (variants,); 1 is best."""
    statistic: float
    """Chi-square with variants - 1 degrees of freedom, corrected for ties."""
    p_value: float
    critical_difference: float
    """Two variants differ at the level if their mean ranks lie at least this far apart."""


def mean_ranks(scores: ArrayLike) -> Floats:
    """Mean rank of each variant over the tasks, shape (variants,); 1 is best, ties share a rank.

    scores: shape (tasks, variants), higher is better. Raises ValueError for an empty axis and for
    a score that is not finite.
    """
    array = checked(scores, "scores", tasks=1, variants=1)
    ranks: Floats = _scipy().rankdata(-array, axis=1).mean(axis=0)
    return ranks


def friedman_nemenyi(scores: ArrayLike, level: float = 0.05) -> Friedman:
    """Friedman's test over tasks and Nemenyi's critical difference of mean ranks.

    scores: shape (tasks, variants), one score for each, higher is better. The critical difference
    is q sqrt(variants (variants + 1) / (6 tasks)), q the studentised range quantile at infinite
    degrees of freedom over sqrt(2) (Demsar 2006, Statistical comparisons of classifiers over
    multiple data sets, section 3.2.2). Unlike there, the statistic is corrected for ties, which
    can only raise it.

    Raises ValueError for fewer than two tasks or three variants (two are for `paired_t`), for a
    score that is not finite, for scores that tie all variants on every task, and unless
    0 < level < 1.
    """
    check_share(level, "level")
    array = checked(scores, "scores", tasks=2, variants=3)
    if (array == array[:, :1]).all():
        raise ValueError("scores must differ between the variants on at least one task")
    tasks, variants = array.shape
    stats = _scipy()
    test = stats.friedmanchisquare(*array.T)
    quantile = stats.studentized_range.ppf(1 - level, variants, np.inf) / np.sqrt(2)
    critical = quantile * np.sqrt(variants * (variants + 1) / (6 * tasks))
    return Friedman(mean_ranks(array), float(test.statistic), float(test.pvalue), float(critical))


def interquartile_mean(
    scores: ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Estimate:
    """Mean of the middle half of all runs of one variant on all tasks, with its interval.

    scores: shape (runs, tasks), normalised so that tasks may be pooled. A quarter of all runs x
    tasks, rounded down, is cut from either end; the bootstrap draws runs within each task (Agarwal
    et al. 2021, arXiv 2108.13264, sections 4.1 and 4.3). The tasks are fixed: the interval holds
    for them, not for others.

    Raises ValueError for fewer than two runs, for no task, for a score that is not finite, for
    fewer than one resample, and unless 0 < confidence < 1.
    """
    array = checked(scores, "scores", runs=2, tasks=1)
    runs, tasks = array.shape
    resampled = np.concatenate(
        [
            _trimmed_means(array[rng.integers(runs, size=(size, runs, tasks)), np.arange(tasks)])
            for size in chunks(resamples, runs * tasks)
        ]
    )
    return percentile_estimate(_trimmed_means(array[np.newaxis])[0], resampled, confidence)


def probability_of_improvement(
    first: ArrayLike,
    second: ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Estimate:
    """Probability that a run of the first variant beats one of the second, averaged over tasks.

    first: shape (runs, tasks); second: shape (other runs, tasks), the same tasks. On each task it
    is the Mann-Whitney statistic over the number of pairs: the share of pairs in which the first
    is higher, a tie as one half. The bootstrap draws runs within each task and variant (Agarwal
    et al. 2021, arXiv 2108.13264, sections 4.1 and 4.3).

    Raises ValueError for fewer than two runs, for no task, for unlike numbers of tasks, for a
    score that is not finite, for fewer than one resample, and unless 0 < confidence < 1.
    """
    one = checked(first, "first", runs=2, tasks=1)
    other = checked(second, "second", runs=2, tasks=1)
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"first has {one.shape[1]} tasks, second {other.shape[1]}")
    wins = (np.sign(one[:, np.newaxis] - other) + 1) / 2
    (runs, tasks), others = one.shape, len(other)
    resampled = []
    for size in chunks(resamples, tasks * max(runs, others)):
        counts = draw_counts(rng, size * tasks, runs).reshape(size, tasks, runs)
        against = draw_counts(rng, size * tasks, others).reshape(size, tasks, others)
        won = np.einsum("cti,ijt,ctj->c", counts, wins, against, optimize=True)
        resampled.append(won / wins.size)
    return percentile_estimate(wins.mean(), np.concatenate(resampled), confidence)


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Share of runs x tasks that score above each threshold, shape (thresholds,).

    scores: shape (runs, tasks) of one variant, normalised so that tasks may be pooled; thresholds:
    shape (thresholds,), in any order. The run-score distribution of Agarwal et al. 2021, arXiv
    2108.13264, section 4.2. Raises ValueError for an empty axis and for a value that is not finite.
    """
    ordered = np.sort(checked(scores, "scores", runs=1, tasks=1), axis=None)
    limits = checked(thresholds, "thresholds", thresholds=1)
    shares: Floats = 1 - np.searchsorted(ordered, limits, side="right") / ordered.size
    return shares


def _trimmed_means(scores: Floats) -> Floats:
    """Interquartile means of (resamples, runs, tasks), shape (resamples,)."""
    means: Floats = _scipy().trim_mean(scores.reshape(len(scores), -1), TRIM, axis=1)
    return means


def _scipy() -> Any:
    """Its statistics, which take a second to load, for what needs them alone."""
    from scipy import stats

    return stats
