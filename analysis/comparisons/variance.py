"""What seeds and test items add to the uncertainty of each cell's score."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.comparability import PART, Part, split_by_fingerprint
from analysis.comparisons.items import item_matrix, read_items, why_no_items
from analysis.frame import present
from analysis.statistics.arrays import Floats
from analysis.statistics.components import variance_components

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

    `runs` is the folder of all runs, with the predictions. What cannot be computed is missing, and
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


def _components(ok: pd.DataFrame, items: Mapping[str, Floats]) -> dict[str, Any]:
    row: dict[str, Any] = {"n_seeds": len(ok)}
    if len(ok) < 2:
        return row | {"reason": f"it takes two ok seeds, there are {len(ok)}"}
    if why := why_no_items(ok, items):
        return row | {"reason": why}
    scores = item_matrix(items, ok["run"])
    if scores.shape[1] < 2:
        return row | {"reason": "it takes two test items, there is one"}
    found = variance_components(scores)
    return row | {
        "test_score": found.mean,
        "seed_error": found.seed_error,
        "item_error": found.item_error,
        "residual_error": found.residual_error,
        "total_error": found.total_error,
        "n_items": found.items,
    }
