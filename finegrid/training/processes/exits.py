"""How the process of a run ends, and what it says, beside 0 for a run that is recorded."""

import atexit
import os
import sys
import threading
from typing import NoReturn

EXIT_FAILED = 1
EXIT_DATA = 65
"""Prepared data or weights are not those that were prepared."""
EXIT_FILES = 74
"""A file cannot be read or written."""
EXIT_TRY_AGAIN = 75
"""The run has not ended: another attempt goes on with it, or another process works on it."""
EXIT_CONFIGURATION = 78


def end_at_once(code: int) -> NoReturn:
    """End as the interpreter does, but leave what was imported to the system.

    To take it all down would take longer than a small run.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the interpreter
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
