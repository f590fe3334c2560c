"""The columns of the main table: what each shows of a cell, and of one of its runs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from analysis.budget import budget_text, short_budget_text
from analysis.cells import GAP, has_trivial
from analysis.metric import metric_named
from analysis.quantities import (
    NONE,
    TRIVIAL,
    byte_text,
    count_text,
    interval_text,
    percent_text,
    plain_score,
    quantity,
    rate_text,
    score_text,
)
from analysis.summary import CONDITIONED

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
    if pd.isna(row["metric"]):
        return NONE
    direction = ", less is better" if metric_named(row["metric"]).sign < 0 else ""
    return f"{row['metric']}{direction} ({count_text(row['n_test'])})"


def _short_variant(row: pd.Series) -> str:
    """The variant; of the trivial predictor the first word, which is all that there is room for."""
    name = str(row["variant"])
    return name.split()[0] if row["method"] == TRIVIAL else name


def _short_score(row: pd.Series) -> str:
    """The score with its n only where that is not every planned seed: there is little room."""
    text = score_text(row).replace(", no interval", "")
    return text.removesuffix(f" (n={row['test_score_n']})") if _is_complete(row) else text


def _is_complete(row: pd.Series) -> bool:
    return bool(row["test_score_n"] == row["runs_planned"])


def _standing(row: pd.Series) -> str:
    """The mark against the best and, of any other variant, the interval of the difference."""
    low, high = (row[name] for name in GAP)
    return _words("standing", row) + ("" if pd.isna(low) else f", {interval_text(low, high)}")


def _short_standing(row: pd.Series) -> str:
    """The interval alone where there is one."""
    low, high = (row[name] for name in GAP)
    return _words("standing", row) if pd.isna(low) else interval_text(low, high, between=", ")


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
    """The mean of a measure, with its n where that is not the n of the score.

    A letter in brackets tells with which rows a cost compares, where it is not all.
    """
    if row["method"] == TRIVIAL:
        return NONE
    n = row[f"{measure}_n"]
    text = unit(row[f"{measure}_mean"]) + (f" (n={n})" if 0 < n != row["runs_ok"] else "")
    marked = n and measure in CONDITIONED and not pd.isna(row["cost_group"])
    return f"{text} [{row['cost_group']}]" if marked else text


def _short_memory(row: pd.Series) -> str:
    """The peak; that one run of a cell has measured it, as is the rule, is not said."""
    text = _mean("peak_training_bytes", byte_text, row)
    return text.replace(" (n=1)", "") if row["peak_training_bytes_n"] == 1 else text


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
    Column("against the best (95 % interval)", _standing),
    _mean_column("peak training memory", "peak_training_bytes", byte_text),
    _mean_column("training time", "train_seconds", partial(quantity, unit="s")),
    _mean_column("throughput", "examples_per_second", partial(quantity, unit="examples/s")),
    Column("runs", _state),
)
HEADERS = [column.header for column in COLUMNS]

SHORT_COLUMNS = (
    Column("variant", _short_variant),
    Column("trainable", _count),
    Column("lr", short_budget_text),
    Column("test", _short_score),
    Column("to the best", _short_standing),
    Column("memory", _short_memory),
    Column("time", partial(_mean, "train_seconds", partial(quantity, unit="s"))),
    Column("runs", _short_state),
)
"""What fits into eighty characters."""
_FIRST_ROW = (
    "first row: what predicts one label for all, the majority class or the mean of the training "
    "split; "
)
_SHORT_LEGEND = (
    "trainable: trainable parameters; lr: learning rate, ↑ ↓ the best trial has the "
    "highest, the lowest of those tried; test: score on the test split, mean ± half of the 95 % t "
    "interval over the seeds, with their number n where it is not the planned one; to the best: "
    "95 % interval of the difference to the best variant over seeds and test items: one that holds "
    "0 is no equality, it says how large a difference may be; memory: peak of training tensors; "
    "time: seconds of training steps; runs: ok, or what became of them; n/a: the method does not "
    "fit the model."
)


def short_legend(frame: pd.DataFrame) -> str:
    """What these columns are, and the first row where a runs table has a trivial predictor."""
    return (_FIRST_ROW if has_trivial(frame) else "") + _SHORT_LEGEND
