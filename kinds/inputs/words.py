"""When two texts read the same."""

import re

_WORDS = re.compile(r"[^\W_]+")


def normalised(text: str) -> str:
    """The text's words in folded case with single spaces: equal for texts that read the same."""
    return " ".join(_WORDS.findall(text.casefold()))
