"""One row a cell: means and t intervals over its seeds, and how many seeds stand behind them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.comparability import GROUP, Part, cost_marks, split_by_fingerprint
from analysis.comparisons.contenders import Standing, standings
from analysis.errors import AnalysisError
from analysis.frame import COSTS_OF, STATES
from analysis.metric import metric_named
from analysis.statistics.intervals import t_interval

CATEGORIES = ("weights_bytes", "gradients_bytes", "optimizer_bytes", "activations_bytes")
PEAK = "peak_training_bytes"
CONDITIONED = (*CATEGORIES, PEAK, "train_seconds", "examples_per_second")
"""Costs that depend on the machine and on the batches."""
MEASURES = (
    "stored_bytes",
    "test_score",
    "validation_score",
    *CONDITIONED,
)
"""Averaged over the ok seeds of a cell; each becomes the columns _mean, _low, _high and _n."""

CONSTANTS = (
    "base_parameters",
    "trainable_parameters",
    "learning_rate",
    "tuning_trials",
    "tuning_grown",
    "tuning_edge",
    "metric",
    "n_test",
    "n_validation",
)
"""Equal for every seed of a cell."""

CELL = [*GROUP, "variant"]
Columns = Mapping[str, NDArray[Any]]
"""Column -> its values in the rows of a cell."""
READ = (
    *CELL,
    *("method", "run", "state", "cost_fingerprint", "test_item_error", COSTS_OF),
    *CONSTANTS,
    *MEASURES,
)
"""The columns of the runs table that a cell is summarised from."""


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """A runs table as one row a cell and fingerprint, in the order of the runs table.

    `<measure>_mean` is the mean over the ok seeds in the unit of the measure, `_low` and `_high`
    bound its 95 % t interval (missing below two seeds) and `_n` counts the seeds that have it.
    `runs` names the runs, with spaces between; `runs_<state>` counts the seeds of the cell;
    `difference` tells the fingerprints of one task and model apart. `test_score_seed_error` is the
    standard error of the mean test score over the seeds, `test_score_item_error` that of
    one seed's score over its test items: the root mean square of those recorded, in which a share
    of right items has sqrt(p (1 - p) / n) and any other function of sums the jackknife's.
    `standing` is the mark against the best of the task, model and fingerprint, `standing_p_value`
    its adjusted p-value; see `standings`. Costs compare between rows of one `cost_group`, which is
    missing where all of a part do. Where the seeds of a cell differ in what costs depend on,
    `cost_fingerprint` and the means of these costs are missing. Raises AnalysisError where a count
    differs between the seeds of a cell.
    """
    planned = frame.groupby(CELL).size()
    # Cutting a table takes time by its columns, and of a hundred these are read.
    needed = [name for name in READ if name in frame]
    cells = [
        (
            part.rows.index[at[0]],
            _cell(part, variant, rows, int(planned[part.task, part.model, variant]))
            | _standing(marks.get(variant))
            | {"cost_group": letters.get(variant)},
        )
        for part in split_by_fingerprint(frame)
        for marks, letters in [(standings(part.rows), cost_marks(part.rows))]
        for variant, at, rows in _by_variant(part.rows[needed])
    ]
    return pd.DataFrame([row for _, row in sorted(cells, key=lambda cell: cell[0])])


def groups(summary: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The summary cut by task, model and fingerprint, each part with its title."""
    return [
        (f"{task} · {model}" + (f"\n{difference}" if difference else ""), rows)
        for (task, model, difference), rows in summary.groupby([*GROUP, "difference"], sort=False)
    ]


def cell_names(cells: pd.DataFrame) -> str:
    """Cells by task and model, with their variants in brackets."""
    places = cells.groupby(GROUP, sort=False)["variant"]
    return "; ".join(f"{task} · {model} ({', '.join(rows)})" for (task, model), rows in places)


def _by_variant(rows: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.intp], Columns]]:
    """Each variant, the places of its rows, and their columns.

    As arrays: thousands of cells cut out of a table one by one take their time.
    """
    columns = {
        str(name): rows[name].to_numpy(dtype=float, na_value=np.nan)
        if name in MEASURES
        else rows[name].to_numpy(dtype=object)
        for name in rows
    }
    for variant, places in rows.groupby("variant", sort=False).indices.items():
        at = np.asarray(places)
        yield str(variant), at, {name: values[at] for name, values in columns.items()}


def _cell(part: Part, variant: str, rows: Columns, planned: int) -> dict[str, Any]:
    is_ok = rows["state"] == "ok"
    ok = {name: values[is_ok] for name, values in rows.items()}
    counts = Counter(map(str, rows["state"]))
    row: dict[str, Any] = {
        "task": part.task,
        "model": part.model,
        "variant": variant,
        "method": rows["method"][0],
        "fingerprint": part.fingerprint,
        "difference": part.difference,
        "runs": " ".join(_present(rows, "run")),
        "runs_planned": planned,
        **{f"runs_{state}": counts.get(state, 0) for state in STATES[:-1]},
        "state": _state_text(counts, planned),
    }
    for name in CONSTANTS:
        row[name] = _constant(rows, name)
    row["trainable_percent"] = _percent(row["trainable_parameters"], row["base_parameters"])
    costs = list(dict.fromkeys(_present(ok, "cost_fingerprint")))
    row["cost_fingerprint"] = costs[0] if len(costs) == 1 else None
    measured = _measured_once(ok)
    for name in MEASURES:
        # in other batches or on another machine a run costs otherwise, and scores the same
        known = measured if name in (*CATEGORIES, PEAK) else ok
        row |= _measure({} if len(costs) > 1 and name in CONDITIONED else known, name)
    row["test_score_seed_error"] = _seed_error(ok)
    row["test_score_item_error"] = _item_error(row, ok)
    return row


def _measured_once(ok: Columns) -> Columns:
    """The rows without those that repeat what another run of the cell has measured."""
    if COSTS_OF not in ok:
        return ok
    measured_by = np.where(pd.isna(ok[COSTS_OF]), ok["run"], ok[COSTS_OF])
    first = [list(measured_by).index(one) for one in dict.fromkeys(measured_by)]
    return {name: values[first] for name, values in ok.items()}


def _present(rows: Columns, name: str) -> NDArray[Any]:
    """The values of a column that are not missing; none where the table lacks the column."""
    values = rows.get(name, np.empty(0))
    return values[~pd.isna(values)]


def _seed_error(ok: Columns) -> float | None:
    values = _present(ok, "test_score")
    return float(values.std(ddof=1)) / sqrt(len(values)) if len(values) > 1 else None


def _item_error(row: dict[str, Any], ok: Columns) -> float | None:
    """The root mean square over the seeds; of records from before, what a share's would be."""
    if len(errors := _present(ok, "test_item_error")):
        return sqrt(float((errors.astype(float) ** 2).mean()))
    score, n = row["test_score_mean"], row["n_test"]
    if score is None or not metric_named(row["metric"]).binary:
        return None
    return sqrt(score * (1 - score) / n)


def _standing(standing: Standing | None) -> dict[str, Any]:
    return {
        "standing": standing.mark if standing else None,
        "standing_p_value": standing.p_value if standing else None,
    }


def _state_text(counts: Mapping[str, int], planned: int) -> str:
    if "not-applicable" in counts:
        return "not applicable"
    signs = [f"{state} {counts[state]} of {planned}" for state in STATES[1:] if state in counts]
    elsewhere = planned - sum(counts.values())
    if elsewhere:
        signs.append(f"{elsewhere} of {planned} under another fingerprint")
    return ", ".join(signs) or "ok"


def _constant(rows: Columns, name: str) -> Any:
    values = list(dict.fromkeys(_present(rows, name)))
    if len(values) > 1:
        cell = "-".join(str(rows[key][0]) for key in CELL)
        found = ", ".join(str(value) for value in values)
        raise AnalysisError(f"{cell}: {name} differs between seeds: {found}")
    return values[0] if values else None


def _percent(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else 100 * part / whole


def _measure(ok: Columns, name: str) -> dict[str, float | None]:
    values = _present(ok, name)
    mean = float(values.mean()) if len(values) else None
    interval = t_interval(values) if len(values) > 1 else None
    return {
        f"{name}_mean": mean,
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
        f"{name}_n": len(values),
    }
