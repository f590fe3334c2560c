"""Paths of many elements as one pattern."""

import re

_NUMBER = re.compile(r"(?<=\.)(expert_)?\d+(?=\.|$)")


def starred(path: str) -> str:
    """The path with `*` in place of the number of each element of a list."""
    return _NUMBER.sub(lambda found: f"{found[1] or ''}*", path)
