"""What seeds and test items add to the uncertainty of each cell's score."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparability import PART, Part, split_by_fingerprint
from analysis.comparisons.items import Items, read_items
from analysis.frame import present
from analysis.statistics.components import variance_components
from analysis.statistics.jackknife import pseudo_values

NO_PSEUDO_VALUES = "the score has no value without one of the test items"
COLUMNS = (
    *PART,
    "variant",
    "metric",
    "test_score",
    "seed_error",
    "item_error",
    "residual_error",
    "total_error",
    "n_seeds",
    "n_items",
    "reason",
)


def variance_rows(frame: pd.DataFrame, runs: Path) -> pd.DataFrame:
    """One row a cell and fingerprint: the standard errors of its mean test score by source.

    `runs` is the folder of all runs, with the predictions. An item stands with its jackknife
    pseudo-value, which of a mean over items is its score. What cannot be computed is missing, and
    `reason` says why. Raises AnalysisError as `read_items` does.
    """
    rows = [row for part in split_by_fingerprint(frame) for row in _part_rows(part, runs)]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _part_rows(part: Part, runs: Path) -> list[dict[str, Any]]:
    items = read_items(part.rows, runs)
    return [
        {
            **part.identity,
            "variant": variant,
            "metric": next(iter(present(rows, "metric")), None),
            **_components(rows[rows["state"] == "ok"], items),
        }
        for variant, rows in part.rows.groupby("variant", sort=False)
    ]


def _components(ok: pd.DataFrame, items: Items) -> dict[str, Any]:
    row: dict[str, Any] = {"n_seeds": len(ok)}
    if len(ok) < 2:
        return row | {"reason": f"it takes two ok seeds, there are {len(ok)}"}
    if why := items.why_none(ok["run"]):
        return row | {"reason": why}
    statistics = items.matrix(ok["run"])
    if statistics.shape[1] < 2:
        return row | {"reason": "it takes two test items, there is one"}
    values = pseudo_values(statistics, items.judge)
    if not np.isfinite(values).all():
        return row | {"reason": NO_PSEUDO_VALUES}
    found = variance_components(values)
    return row | {
        "test_score": float(ok["test_score"].mean()),
        "seed_error": found.seed_error,
        "item_error": found.item_error,
        "residual_error": found.residual_error,
        "total_error": found.total_error,
        "n_items": found.items,
    }
