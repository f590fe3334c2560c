"""The random numbers of every resampling: the same names give the same numbers."""

import numpy as np

from finegrid.records.identity import short_hash

SEEDED = (
    "Random numbers are seeded by the hash of the names that they are drawn for: the same runs "
    "give the same figures."
)


def generator(*names: str | None) -> np.random.Generator:
    """A generator whose seed is the hash of what the numbers are drawn for."""
    return np.random.default_rng(int(short_hash(list(names)), 16))
