"""What the process of a run says when it ends, beside 0 for a run that is recorded."""

EXIT_FAILED = 1
EXIT_DATA = 65
"""Prepared data or weights are not those that were prepared."""
EXIT_FILES = 74
"""A file cannot be read or written."""
EXIT_TRY_AGAIN = 75
"""The run has not ended: another attempt goes on with it, or another process works on it."""
EXIT_CONFIGURATION = 78
