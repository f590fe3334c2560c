"""Scores against costs: which cells lie on the Pareto front, and how surely."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparability import (
    PART,
    Part,
    cost_fingerprints,
    cost_marks,
    split_by_fingerprint,
)
from analysis.comparisons.items import Items, read_items
from analysis.comparisons.seeding import generator
from analysis.frame import present
from analysis.metric import sign_of
from analysis.statistics.arrays import Floats
from analysis.statistics.bootstrap import UndefinedResampleError, mean_of_items
from analysis.statistics.front import Runs, front_probability, pareto_front

COSTS = ("trainable_parameters", "peak_training_bytes", "train_seconds")
CONDITIONED = ("peak_training_bytes", "train_seconds")
"""Costs that depend on the machine and the batches: they have a front for each."""
SCORE = "test_score"
_OF_A_CELL = ("variant", "seed", "run", "state", SCORE)
COLUMNS = (
    *PART,
    "variant",
    "cost",
    "cost_mean",
    "front",
    "metric",
    "test_score_mean",
    "n_seeds",
    "on_front",
    "front_probability",
    "reason",
)


UNLIKE = "its seeds ran on unlike machines or in unlike batches"


def pareto_rows(frame: pd.DataFrame, runs: Path) -> pd.DataFrame:
    """One row a cell, fingerprint and cost of `COSTS`, in the order of the runs table.

    `runs` is the folder of all runs, with their predictions. `on_front` holds where no other cell
    of the group has a mean score as good at a mean cost as low, and one of them better.
    `front_probability` is the share of resamples in which that holds; they draw seeds, and test
    items where all cells have predictions, the same for all cells. Cells with one seed stand
    beside the others, or among themselves where no cell has two: then there is no probability.
    `reason` says why a value is missing. Where the costs of a part do not all compare, each `front`
    is one of cells whose costs do. Raises AnalysisError as `read_items` does.
    """
    rows = [
        row
        for part in split_by_fingerprint(frame)
        for items in [read_items(part.rows, runs)]
        for cost in COSTS
        for row in _in_order(part, cost, items)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _in_order(part: Part, cost: str, items: Items) -> list[dict[str, Any]]:
    """The rows of all fronts of a part, in the order of the runs table."""
    if cost not in CONDITIONED:
        return _rows(part, cost, items)
    variants, marks = part.rows["variant"], cost_marks(part.rows)
    unlike = [name for name, one in cost_fingerprints(part.rows).items() if one is None]
    letters = np.array([marks.get(name, "a") for name in variants])
    fronts = {letter: part.rows[letters == letter] for letter in dict.fromkeys(letters)}
    rows = [
        row | {"front": letter if marks else None}
        for letter, own in fronts.items()
        for row in _rows(replace(part, rows=own), cost, items, unlike)
    ]
    places = {name: place for place, name in enumerate(dict.fromkeys(variants))}
    return sorted(rows, key=lambda row: places[row["variant"]])


def _rows(
    part: Part, cost: str, items: Items, unlike: Collection[str] = ()
) -> list[dict[str, Any]]:
    """The rows of one front. The seeds of the `unlike` variants differ in their conditions."""
    # Of a hundred columns these: each would be copied for each variant.
    narrow = part.rows[[*_OF_A_CELL, cost]]
    cells = {
        str(name): _measured(rows.head(0) if name in unlike else rows, cost)
        for name, rows in narrow.groupby("variant", sort=False)
    }
    most = max(map(len, cells.values()))
    rivals = {name: cell for name, cell in cells.items() if len(cell) >= min(2, max(most, 1))}
    on_front = _front(rivals, cost, sign_of(part.rows))
    found = _probabilities(part, cost, rivals, items) if most > 1 else {}
    lost, probabilities = (found, {}) if isinstance(found, str) else (None, found)
    return [
        {
            **part.identity,
            "variant": name,
            "cost": cost,
            "cost_mean": cell[cost].mean() if len(cell) else None,
            "metric": next(iter(present(part.rows, "metric")), None),
            "test_score_mean": cell[SCORE].mean() if len(cell) else None,
            "n_seeds": len(cell),
            "on_front": on_front.get(name),
            "front_probability": probabilities.get(name),
            "reason": UNLIKE if name in unlike else _reason(cell, cost, name in rivals, lost),
        }
        for name, cell in cells.items()
    ]


def _measured(rows: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The ok runs that have both cost and score."""
    ok = rows[rows["state"] == "ok"].dropna(subset=[cost, SCORE])
    return ok.astype({cost: float, SCORE: float})


def _front(rivals: dict[str, pd.DataFrame], cost: str, sign: int) -> dict[str, bool]:
    if not rivals:
        return {}
    means = np.stack([cell[[cost, SCORE]].to_numpy().mean(axis=0) for cell in rivals.values()])
    found = pareto_front(means[:, :1], sign * means[:, 1])
    return dict(zip(rivals, found.tolist(), strict=True))


def _probabilities(
    part: Part, cost: str, rivals: dict[str, pd.DataFrame], items: Items
) -> dict[str, float] | str:
    """The probability of each rival to lie on the front, or why there is none."""
    rng = generator(part.task, part.model, part.fingerprint, cost, *rivals)
    by_item = items.why_none(pd.concat(rivals.values())["run"]) is None
    cells = [
        Runs.of(
            name,
            cell["seed"].astype(int).tolist(),
            cell[[cost]].to_numpy(),
            items.matrix(cell["run"]) if by_item else _one_item(cell),
        )
        for name, cell in rivals.items()
    ]
    weighted = items.judge.weighted if by_item else mean_of_items
    try:
        found = front_probability(cells, rng, weighted=weighted, sign=sign_of(part.rows))
    except UndefinedResampleError as error:
        return f"no probability: {error}"
    return dict(zip(rivals, found.tolist(), strict=True))


def _one_item(cell: pd.DataFrame) -> Floats:
    """The scores as statistics of one item, shape (seeds, 1, 1)."""
    scores: Floats = cell[SCORE].to_numpy(dtype=np.float64)
    return scores[:, np.newaxis, np.newaxis]


def _reason(cell: pd.DataFrame, cost: str, competes: bool, lost: str | None) -> str | None:
    if not len(cell):
        return f"no ok run with {cost}"
    if len(cell) > 1:
        return lost
    return "one seed: no probability" if competes else "one seed: beside the front of the others"
