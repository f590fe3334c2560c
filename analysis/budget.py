"""The learning rate of a cell, and what was spent to find it: columns and notes of the tables."""

import json

import pandas as pd

from analysis.frame import present
from analysis.quantities import NONE, count_text, rate_text
from analysis.summary import CELL, cell_names

ARROWS = {"lower": "↓", "upper": "↑"}
"""The mark of an optimum at an edge, where there is no room for words."""

_CHOSEN = (
    "Learning rate (trials): the peak learning rate of the cell's runs, and how many trials were "
    "spent to choose it. A trial is a run on {seeds}, which no run of this table has, scored on "
    "the validation split. The test split is not read by any trial."
)
_RULES = {
    "one-standard-error": "The lowest learning rate was chosen whose score is within one standard "
    "error of the best one over its validation items: sqrt(p (1 - p) / n) of a share, else the "
    "jackknife's",
    "best": "The best score was chosen, of equal ones the lowest learning rate",
}
_GIVEN = "Learning rate: given by the benchmark file for each variant; none was searched for."
_EDGE = (
    "Lower edge, upper edge: the best score is that of the lowest or the highest learning rate "
    "that was tried; a better one may lie beyond it."
)


def budget_text(row: pd.Series) -> str:
    """The learning rate of a row of the summary with the trials spent, as `2e-3 (3 trials)`."""
    rate, trials = rate_text(row["learning_rate"]), row["tuning_trials"]
    if pd.isna(trials):
        return rate if rate == NONE else f"{rate} (given)"
    edge = "" if pd.isna(row["tuning_edge"]) else f", {row['tuning_edge']} edge"
    return f"{rate} ({trials_text(trials)}{edge})"


def short_budget_text(row: pd.Series) -> str:
    """The learning rate of a row of the summary, with an arrow where it lies at an edge."""
    edge = row["tuning_edge"]
    return rate_text(row["learning_rate"]) + ("" if pd.isna(edge) else f" {ARROWS[edge]}")


def trials_text(trials: int) -> str:
    """A number of trials."""
    return f"{count_text(trials)} trial{'' if trials == 1 else 's'}"


def budget_notes(frame: pd.DataFrame) -> list[str]:
    """What a reader of a runs table has to know of its learning rates, a sentence or two each."""
    seeds = present(frame, "tuning_seed").unique()
    if not len(seeds):
        return [_GIVEN]
    cells = frame.dropna(subset="tuning_trials").drop_duplicates(CELL)
    lines = [_CHOSEN.format(seeds=f"seed {', '.join(map(str, seeds))}")]
    lines += [*_rules(cells), *_shorter_trials(frame)]
    if cells["tuning_edge"].notna().any():
        lines.append(_EDGE)
    budgets = [] if cells.empty else _budgets(cells)
    return [*lines, *budgets, *_without_choice(cells)]


def _rules(cells: pd.DataFrame) -> list[str]:
    """What decided among the trials, and where, if not the same everywhere."""
    groups = cells.groupby("tuning_rule", sort=False)
    return [
        _RULES[str(rule)] + (f": {cell_names(rows)}." if groups.ngroups > 1 else ".")
        for rule, rows in groups
    ]


def _shorter_trials(frame: pd.DataFrame) -> list[str]:
    """What a trial trains differently, and on which tasks and models where that varies."""
    tuned = frame.dropna(subset="tuning_trials")
    lines = []
    for text, rows in tuned.groupby("tuning_training", sort=False):
        places = dict.fromkeys(rows["task"] + " · " + rows["model"])
        where = f" on {', '.join(places)}" if len(rows) < len(tuned) else ""
        lines.append(
            f"A trial{where} trains as a run does, but for {_settings(json.loads(str(text)))}."
        )
    return lines


def _settings(values: dict[str, object]) -> str:
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())


def _budgets(cells: pd.DataFrame) -> list[str]:
    """The trials a cell: one number, or the usual one and which cells got another."""
    spent = zip(cells["tuning_trials"], cells["tuning_grown"], strict=True)
    texts = pd.Series([trials_text(all_) + _grown(grown) for all_, grown in spent], cells.index)
    usual, *others = texts.value_counts().index
    if not others:
        return [f"Every tuned cell had {usual}."]
    parts = [f"{text} for {cell_names(cells[texts == text])}" for text in others]
    return [f"The budgets differ: {'; '.join(parts)}; {usual} for every other tuned cell."]


def _grown(grown: int) -> str:
    return f" ({grown} added beyond an edge of the grid)" if grown else ""


def _without_choice(cells: pd.DataFrame) -> list[str]:
    rows = cells[cells["learning_rate"].isna()]
    if rows.empty:
        return []
    return [f"No trial has a score, so that nothing was chosen, for {cell_names(rows)}."]
