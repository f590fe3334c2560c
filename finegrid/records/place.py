"""Where the record of a run lies."""

from pathlib import Path

from finegrid.records.result import FAILURE_FILE, RESULT_FILE


def record_file(runs: Path, run: str) -> Path | None:
    """Where a run's record lies below the folder `runs`: its result, else its failure, or None."""
    files = (runs / run / name for name in (RESULT_FILE, FAILURE_FILE))
    return next((path for path in files if path.exists()), None)
