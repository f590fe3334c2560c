"""Memory that a run frees stays with its process: steps do not fault in the same pages again."""

import subprocess
import sys

_FAULTS = """
from resource import RUSAGE_SELF, getrusage
from finegrid.training.run import keep_freed_memory

keep_freed_memory()
for _ in range(2):
    before = getrusage(RUSAGE_SELF).ru_minflt
    bytearray(2**26)
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""


def test_what_is_freed_is_taken_again() -> None:
    found = subprocess.run(
        [sys.executable, "-c", _FAULTS], capture_output=True, check=True, text=True
    )
    assert int(found.stdout) < 100  # of the 16,384 pages that the second one covers
