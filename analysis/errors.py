"""A user's error is one clear line, not a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class AnalysisError(ValueError):
    """What the records or tables hold cannot be analysed; the message names the file or the key."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn an AnalysisError or OSError into one line on stderr and exit status 1."""
    try:
        yield
    except (AnalysisError, OSError) as error:
        sys.exit(f"error: {error}")
