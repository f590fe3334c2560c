"""A file of published counts: models by their dimensions, and what was printed of them."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue, ValidationError

from finegrid.problems import dotted
from finegrid.records.base import Record


class GoldenError(ValueError):
    """A file that is no file of published counts."""


class PaperRow(Record):
    """A count that a publication prints."""

    id: str
    model: str
    """A key of `model_dims`."""
    spec: dict[str, JsonValue]
    """`method`, and its settings in the words of the file."""
    stated_as: str
    """The source's wording, with its options as JSON at the end."""
    head_counted: bool
    layernorm_counted: bool
    expected: int
    """The integer that follows from the specification."""
    published: str | None
    verdict: str = ""
    """What the file's author found when comparing the two."""
    source: str = ""


class BoardRow(Record):
    """A count that the board of another library prints, with that library's configuration."""

    id: str
    suite: str
    experiment: str
    model: str
    peft_config: dict[str, JsonValue] | None
    optimizer: str | None = None
    """One of the library that leaves a part of what the configuration adds untrained."""
    expected: int
    configured: int | None = None
    """The integer that follows from the configuration, where that is not the expected one."""
    note: str = ""
    """Why it is not."""
    expected_total: int | None = None
    adapter_file_bytes: int | None = None


class Board(Record):
    """The rows of one board."""

    source: str = ""
    rows: tuple[BoardRow, ...]


class Golden(Record):
    """The whole file."""

    note: str = ""
    model_dims: dict[str, dict[str, JsonValue]]
    papers: tuple[PaperRow, ...] = ()
    board: Board = Board(rows=())


def read_golden(path: Path) -> Golden:
    """The file's content. Raises OSError, or GoldenError in one line."""
    try:
        return Golden.read(path)
    except ValidationError as error:
        first, *others = error.errors()
        more = f" (and {len(others)} more)" if others else ""
        raise GoldenError(f"{path}: {dotted(first['loc'])}: {first['msg']}{more}") from error
