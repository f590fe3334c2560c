"""Why the runs of a test decide nothing: those that are not ok, and those that do not compare."""

import pandas as pd

from analysis.comparability import GROUP, UNMEASURED, key_of
from analysis.frame import COMPARABLE, CONDITION, LIBRARY, present

BY_DESIGN = ("data_sha256",)
"""In this the conditions of two tasks differ, and have to."""


def obstacles(rows: pd.DataFrame, costs: bool = False) -> tuple[str, ...]:
    """Runs that are not ok, by name, or whose scores, or costs, are not comparable."""
    bad = rows[rows["state"] != "ok"]
    gaps = [
        f"{row['variant']} on {row['task']}: {row['state']}"
        if pd.isna(row["run"])
        else f"{row['run']}: {row['state']}"
        for _, row in bad.iterrows()
    ]
    return tuple(gaps) or _incomparable(rows, costs) or _unlike_metrics(rows)


def _incomparable(rows: pd.DataFrame, costs: bool) -> tuple[str, ...]:
    """The conditions in which the runs differ: on one task any, over tasks all but the data."""
    measured = rows[~rows["state"].isin(UNMEASURED)]
    free = [COMPARABLE + key for key in BY_DESIGN]
    kinds = (COMPARABLE, CONDITION) if costs else (COMPARABLE,)
    fixed = [name for name in rows if str(name).startswith(kinds) and name not in free]
    differing = [name for name in fixed if measured[name].nunique(dropna=False) > 1]
    # a run that does not use a library compares with any version of it
    brought = [name for name in rows if str(name).startswith(LIBRARY)]
    differing += [name for name in brought if measured[name].nunique() > 1]
    for _, group in measured.groupby(GROUP):
        differing += [name for name in free if group[name].nunique(dropna=False) > 1]
    names = [key_of(str(name)) for name in dict.fromkeys(differing)]
    return (f"the runs are not comparable, they differ in {', '.join(names)}",) if names else ()


def _unlike_metrics(rows: pd.DataFrame) -> tuple[str, ...]:
    metrics = present(rows, "metric").unique()
    return (f"the tasks have different metrics: {', '.join(metrics)}",) if len(metrics) > 1 else ()
