"""The columns of the main table: what each shows of a cell, and of one of its runs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from analysis.budget import budget_text, short_budget_text
from analysis.quantities import (
    NONE,
    byte_text,
    count_text,
    percent_text,
    plain_score,
    quantity,
    rate_text,
    score_text,
)

NOT_APPLICABLE = "n/a"


@dataclass(frozen=True)
class Column:
    """A column of the main table."""

    header: str
    text: Callable[[pd.Series], str]
    """The text of a row of the summary."""
    measure: str | None = None
    """The column of the runs table that the number is made of; None for words."""
    unit: Callable[[float], str] = str
    """The text of one run's value of the measure."""


def _words(name: str, row: pd.Series) -> str:
    return NONE if pd.isna(row[name]) else str(row[name])


def _parameters(row: pd.Series) -> str:
    text, share = count_text(row["trainable_parameters"]), row["trainable_percent"]
    return text if pd.isna(share) else f"{text} ({percent_text(share)})"


def _count(row: pd.Series) -> str:
    return count_text(row["trainable_parameters"])


def _metric(row: pd.Series) -> str:
    return NONE if pd.isna(row["metric"]) else f"{row['metric']} ({count_text(row['n_test'])})"


def _short_score(row: pd.Series) -> str:
    return score_text(row).replace(", no interval", "")


def _state(row: pd.Series) -> str:
    difference = f" ({row['difference']})" if row["difference"] else ""
    return f"{row['state']}{difference}"


def _errors(row: pd.Series) -> str:
    """The standard errors of the test score over seeds and over test items."""
    values = [row["test_score_seed_error"], row["test_score_item_error"]]
    if all(pd.isna(value) for value in values):
        return NONE
    return ", ".join(NONE if pd.isna(value) else f"{value:.4f}" for value in values)


def _short_state(row: pd.Series) -> str:
    """The state, in three letters where a terminal's last column would break the words."""
    return NOT_APPLICABLE if row["state"] == "not applicable" else _state(row)


def _mean(measure: str, unit: Callable[[float], str], row: pd.Series) -> str:
    """The mean of a measure, with its n where that is not the n of the score."""
    n = row[f"{measure}_n"]
    return unit(row[f"{measure}_mean"]) + (f" (n={n})" if 0 < n != row["runs_ok"] else "")


def _mean_column(header: str, measure: str, unit: Callable[[float], str]) -> Column:
    return Column(f"{header} (mean)", partial(_mean, measure, unit), measure, unit)


COLUMNS = (
    Column("task", partial(_words, "task")),
    Column("model", partial(_words, "model")),
    Column("variant", partial(_words, "variant")),
    Column("trainable parameters (share of base)", _parameters, "trainable_parameters", count_text),
    _mean_column("stored size", "stored_bytes", byte_text),
    Column("learning rate (trials)", budget_text, "learning_rate", rate_text),
    Column("metric (test items)", _metric, "n_test", count_text),
    Column("test score (mean ± 95 % t interval)", score_text, "test_score", plain_score),
    Column("standard error (seeds, test items)", _errors),
    Column("against the best", partial(_words, "standing")),
    _mean_column("peak training memory", "peak_training_bytes", byte_text),
    _mean_column("training time", "train_seconds", partial(quantity, unit="s")),
    _mean_column("throughput", "examples_per_second", partial(quantity, unit="examples/s")),
    Column("runs", _state),
)
HEADERS = [column.header for column in COLUMNS]

SHORT_COLUMNS = (
    Column("variant", partial(_words, "variant")),
    Column("trainable", _count),
    Column("lr", short_budget_text),
    Column("test", _short_score),
    Column("memory", partial(_mean, "peak_training_bytes", byte_text)),
    Column("training", partial(_mean, "train_seconds", partial(quantity, unit="s"))),
    Column("runs", _short_state),
)
"""What fits into eighty characters."""
SHORT_LEGEND = (
    "trainable: trainable parameters; lr: learning rate, ↑ ↓ the highest, the lowest of those "
    "tried; test: score on the test split, mean ± half of the 95 % t interval over n seeds; "
    "memory: peak of training tensors; training: seconds of its steps; runs: ok, or what became of "
    "them; n/a: the method does not fit the model."
)
"""What these columns are."""
