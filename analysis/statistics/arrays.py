"""The checks that every statistic begins with."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def checked(values: ArrayLike, name: str, **least: int) -> Floats:
    """`values` as float64; each keyword names an axis, in order, with its least length.

    Raises ValueError, naming `name`, for another number of axes, for an axis that is too short
    and for a value that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != len(least):
        raise ValueError(f"{name} must have the axes ({', '.join(least)}), not shape {array.shape}")
    for (axis, length), found in zip(least.items(), array.shape, strict=True):
        if found < length:
            raise ValueError(f"{name} must have at least {length} {axis}, not {found}")
    broken = np.argwhere(~np.isfinite(array))
    if broken.size:
        place = tuple(broken[0].tolist())
        raise ValueError(f"{name} must be finite, at {place} it is {array[place]}")
    return array


def checked_pair(first: ArrayLike, second: ArrayLike, **least: int) -> tuple[Floats, Floats]:
    """Two arrays as `checked` gives them, of equal shape. Raises ValueError."""
    one, other = checked(first, "first", **least), checked(second, "second", **least)
    if one.shape != other.shape:
        raise ValueError(f"first and second must be paired, not {one.shape} and {other.shape}")
    return one, other


def check_share(value: float, name: str) -> None:
    """Raise ValueError unless 0 < value < 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, it is {value}")
