"""The rows of the main table: in each group the trivial predictor, then the cells.

A cell's row is that of the summary, with the interval of its difference to the best.
"""

from typing import Any

import numpy as np
import pandas as pd

from analysis.comparability import GROUP
from analysis.comparisons.contenders import BEST
from analysis.errors import AnalysisError
from analysis.frame import present
from analysis.metric import metric_named
from analysis.quantities import TRIVIAL
from analysis.summary import summarise

GAP = ("gap_low", "gap_high")
_PLACE = [*GROUP, "fingerprint", "difference"]


def table_rows(frame: pd.DataFrame, pairs: pd.DataFrame | None = None) -> pd.DataFrame:
    """The summary of a runs table, with the gaps to the best and the trivial predictors.

    `gap_low` and `gap_high` bound the difference of the test score to that of the best variant:
    the 95 % interval of the bootstrap over seeds and test items in the table of `pairs`; missing
    without that table, and where that has none. The trivial predictor is a row of method
    `TRIVIAL` before the first cell of its group. Raises AnalysisError as `summarise` does, and
    where the runs of a group differ in their trivial predictor.
    """
    return _with_trivial(_with_gaps(summarise(frame), pairs), frame)


def _with_gaps(summary: pd.DataFrame, pairs: pd.DataFrame | None) -> pd.DataFrame:
    found = {} if pairs is None else _gaps(summary, pairs)
    bounds = [
        found.get((*place, variant), (np.nan, np.nan))
        for *place, variant in summary[[*_PLACE[:3], "variant"]].itertuples(index=False)
    ]
    low, high = zip(*bounds, strict=True) if bounds else ((), ())
    return summary.assign(gap_low=low, gap_high=high)


def _gaps(summary: pd.DataFrame, pairs: pd.DataFrame) -> dict[tuple[str, ...], tuple[float, float]]:
    """Task, model, fingerprint and variant -> the bounds of the difference to the best."""
    rows = summary[summary["standing"] == BEST]
    best = {
        tuple(row[:3]): row[3] for row in rows[[*_PLACE[:3], "variant"]].itertuples(index=False)
    }
    found = {}
    names = [*_PLACE[:3], "first", "second", "bootstrap_low", "bootstrap_high"]
    known = pairs.dropna(subset=["bootstrap_low", "bootstrap_high"])
    for *place, first, second, low, high in known[names].itertuples(index=False):
        key = tuple(place)
        if best.get(key) == second:
            found[*key, first] = (float(low), float(high))
        elif best.get(key) == first:
            found[*key, second] = (-float(high), -float(low))
    return found


def has_trivial(frame: pd.DataFrame) -> bool:
    """Whether the rows of a runs table's cells have a trivial predictor among them."""
    return any(not _is_of_texts(own) for _, own in frame.groupby(GROUP))


def _with_trivial(summary: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    runs = frame.dropna(subset="run").set_index("run")
    cells = summary.reset_index(drop=True)
    rows = {
        float(own.index[0]) - 0.5: _trivial(own, runs)
        for _, own in cells.groupby(_PLACE, sort=False, dropna=False)
        if not _is_of_texts(own)
    }
    if not rows:
        return cells
    trivial = pd.DataFrame.from_dict(rows, orient="index")
    return pd.concat([cells, trivial]).sort_index().reset_index(drop=True)


def _is_of_texts(cells: pd.DataFrame) -> bool:
    """Whether texts, tags or spans are scored, of which nothing is said without inputs."""
    names = [str(name) for name in present(cells, "metric").unique()]
    return any(metric_named(name).defined_on in ("texts", "tags", "spans") for name in names)


def _trivial(cells: pd.DataFrame, runs: pd.DataFrame) -> dict[str, Any]:
    """The trivial predictor of a group, from the records of its runs."""
    first = cells.iloc[0]
    own = runs.loc[" ".join(cells["runs"]).split()]
    known = own.loc[present(own, "trivial_predictor").index]
    scores, names = present(known, "trivial_score"), present(known, "trivial_predictor")
    if names.nunique() > 1 or scores.nunique() > 1:
        raise AnalysisError(f"{first['task']}-{first['model']}: its runs differ in {TRIVIAL}")
    state = "missing" if known.empty else "undefined" if scores.empty else "ok"
    counts = [name for name in map(str, cells) if name.endswith("_n") or name.startswith("runs_")]
    row = (
        {name: first[name] for name in _PLACE}
        | dict.fromkeys(counts, 0)
        | {
            "variant": TRIVIAL if known.empty else names.iloc[0],
            "method": TRIVIAL,
            "runs": " ".join(known.index),
            "state": state,
        }
    )
    given = {name: next(iter(present(cells, name)), np.nan) for name in ("metric", "n_test")}
    return row | given | {"test_score_mean": next(iter(scores), np.nan)}
