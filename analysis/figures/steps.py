"""The step records of a run, and the stretches of steps that curves are averaged over."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from analysis.errors import AnalysisError

BINS = 40
"""Curves are averaged over this many stretches of steps: single steps are noise."""

T = TypeVar("T")


def step_records(path: Path, read: Callable[[dict[str, Any]], Iterator[T]]) -> Iterator[T]:
    """What `read` makes of each line of a history; nothing where there is no such file.

    Raises AnalysisError that names the line where one is no step record.
    """
    if not path.exists():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            yield from read(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AnalysisError(f"{path}:{number}: not a step record") from error


def middles(steps: pd.Series) -> pd.Series:
    """For each step the middle of its stretch, one of at most `BINS` of equal length."""
    width = -(-int(steps.max()) // BINS)
    return (steps - 1) // width * width + (width + 1) / 2
