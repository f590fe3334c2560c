"""Scores against costs: which cells lie on the Pareto front, and how surely."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.comparability import PART, Part, split_by_fingerprint
from analysis.comparisons.seeding import generator
from analysis.frame import present
from analysis.statistics.arrays import Floats
from analysis.statistics.front import front_probability, pareto_front

COSTS = ("trainable_parameters", "peak_training_bytes", "train_seconds")
SCORE = "test_score"
COLUMNS = (
    *PART,
    "variant",
    "cost",
    "cost_mean",
    "metric",
    "test_score_mean",
    "n_seeds",
    "on_front",
    "front_probability",
    "reason",
)


def pareto_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a cell, fingerprint and cost of `COSTS`, in the order of the runs table.

    `on_front` holds where no other cell of the group has a mean score as high at a mean cost as
    low, and one of them better. `front_probability` is the share of resamples of the seeds of each
    cell in which that holds. Cells with one seed stand beside the others, or among themselves
    where no cell has two: then there is no probability. `reason` says why a value is missing.
    """
    rows = [
        row for part in split_by_fingerprint(frame) for cost in COSTS for row in _rows(part, cost)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _rows(part: Part, cost: str) -> list[dict[str, Any]]:
    cells = {
        str(name): _measured(rows, cost) for name, rows in part.rows.groupby("variant", sort=False)
    }
    most = max(map(len, cells.values()))
    rivals = {name: cell for name, cell in cells.items() if len(cell) >= min(2, max(most, 1))}
    on_front = _front(rivals)
    probabilities = _probabilities(part, cost, rivals) if most > 1 else {}
    return [
        {
            **part.identity,
            "variant": name,
            "cost": cost,
            "cost_mean": cell[:, 0].mean() if len(cell) else None,
            "metric": next(iter(present(part.rows, "metric")), None),
            "test_score_mean": cell[:, 1].mean() if len(cell) else None,
            "n_seeds": len(cell),
            "on_front": on_front.get(name),
            "front_probability": probabilities.get(name),
            "reason": _reason(cell, cost, name in rivals),
        }
        for name, cell in cells.items()
    ]


def _measured(rows: pd.DataFrame, cost: str) -> Floats:
    """Cost and score of the ok runs that have both, shape (seeds, 2)."""
    ok = rows[rows["state"] == "ok"].dropna(subset=[cost, SCORE])
    return ok[[cost, SCORE]].to_numpy(dtype=np.float64)


def _front(rivals: dict[str, Floats]) -> dict[str, bool]:
    if not rivals:
        return {}
    means = np.stack([cell.mean(axis=0) for cell in rivals.values()])
    found = pareto_front(means[:, :1], means[:, 1])
    return dict(zip(rivals, found.tolist(), strict=True))


def _probabilities(part: Part, cost: str, rivals: dict[str, Floats]) -> dict[str, float]:
    rng = generator(part.task, part.model, part.fingerprint, cost, *rivals)
    costs, scores = zip(*((cell[:, :1], cell[:, 1]) for cell in rivals.values()), strict=True)
    return dict(zip(rivals, front_probability(costs, scores, rng).tolist(), strict=True))


def _reason(cell: Floats, cost: str, competes: bool) -> str | None:
    if not len(cell):
        return f"no ok run with {cost}"
    if len(cell) > 1:
        return None
    return "one seed: no probability" if competes else "one seed: beside the front of the others"
