"""What is true of a text that a model writes: one text, or several that are all right."""

from collections.abc import Sequence


def references(given: str | Sequence[str]) -> list[str]:
    """The texts that are right, of which a model learns the first."""
    return [given] if isinstance(given, str) else list(given)
