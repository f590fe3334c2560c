"""A user's error is one clear line, not a traceback."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self


class AnalysisError(ValueError):
    """What the records or tables hold cannot be analysed; the message names the file or the key."""

    def __init__(self, message: str, damaged: Sequence[Path] = ()) -> None:
        """`damaged` are files that are not as they were written."""
        super().__init__(message)
        self.damaged = tuple(damaged)

    @classmethod
    def of(cls, problems: Sequence[Self]) -> Self:
        """Several of them in one, a line each."""
        damaged = [path for problem in problems for path in problem.damaged]
        return cls("\n".join(map(str, problems)), damaged)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn an AnalysisError or OSError into one line on stderr and exit status 1."""
    try:
        yield
    except (AnalysisError, OSError) as error:
        sys.exit(f"error: {error}")
