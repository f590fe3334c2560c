"""What planning finds in the rows of a task's own files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from finegrid.records.prepared import SplitName
from tasks.file_features import Fitted


class Survey(NamedTuple):
    """What the rows of a task's files hold."""

    written: tuple[str, ...]
    """The labels as the files have them, by the index of their class; empty for a regression."""
    names: tuple[str, ...]
    """The names of the classes."""
    counts: dict[SplitName, int]
    """Rows of each split."""
    files: tuple[str, ...] = ()
    """Names of the whole files that are rows, below their folder."""
    remarks: tuple[str, ...] = ()
    """What a user should know of them."""
    found: Mapping[str, Any] = {}
    """What the rows decide of the fields of their kind."""
    features: Fitted | None = None
    """What the training rows say of the columns of numbers, where these are made."""
