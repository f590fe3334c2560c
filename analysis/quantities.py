"""Numbers with units as people read them."""

from decimal import Decimal

import pandas as pd

NONE = "—"
TRIVIAL = "trivial predictor"
"""The method of a row that no run trains; in words where no record has it."""
_PREFIXES = "kMGTPE"


def byte_text(value: float | None) -> str:
    """Bytes with a decimal prefix: 1234567 is `1.2 MB`."""
    if pd.isna(value):
        return NONE
    if value < 1000:
        return f"{value:.0f} B"
    figures = [round(value / 1000**power, 1) for power in range(1, len(_PREFIXES) + 1)]
    place = next((at for at, one in enumerate(figures) if one < 1000), len(figures) - 1)
    return f"{figures[place]:.1f} {_PREFIXES[place]}B"


def count_text(value: float | None) -> str:
    """A count with its thousands apart."""
    return NONE if pd.isna(value) else f"{value:,.0f}"


def percent_text(value: float) -> str:
    """A percentage with two decimals, or two digits where these would show zero."""
    return f"{value:.2f} %" if value >= 0.1 or value == 0 else f"{value:.2g} %"


def rate_text(value: float | None) -> str:
    """A learning rate with all its digits: 0.002 is `2e-3`."""
    return NONE if pd.isna(value) else f"{Decimal(repr(float(value))).normalize():e}"


def quantity(value: float | None, unit: str) -> str:
    """A measure, 0 or more, with about three digits and its unit."""
    if pd.isna(value):
        return NONE
    places = 0 if value >= 100 or value == 0 else 1 if value >= 10 else 2 if value >= 0.1 else 4
    return f"{value:,.{places}f} {unit}"


def plain_score(value: float) -> str:
    """A score of one run; `undefined` where the metric has no value."""
    return "undefined" if pd.isna(value) else f"{value:{_style(value)}}"


def interval_text(low: float | None, high: float | None, between: str = " to ") -> str:
    """The bounds of a difference of scores, with their signs."""
    return NONE if pd.isna(low) else f"{low:+.3f}{between}{high:+.3f}"


def score_text(row: pd.Series) -> str:
    """The test score of a row of the summary with its interval and its n."""
    mean, n = row["test_score_mean"], row["test_score_n"]
    if row["method"] == TRIVIAL:  # a constant, which has no seeds
        return NONE if row["state"] == "missing" else plain_score(mean)
    if n == 0:
        return NONE
    style = _style(mean)
    if n == 1:
        return f"{mean:{style}} (n=1, no interval)"
    return f"{mean:{style}} ± {row['test_score_high'] - mean:{style}} (n={n})"


def _style(value: float) -> str:
    # three decimals would show a small error as zero
    return ".3f" if abs(value) >= 0.01 or value == 0 else ".2e"
