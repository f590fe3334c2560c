"""What names of files and folders call the splits."""

from __future__ import annotations

import re

from finegrid.records.prepared import SplitName

SPLIT_WORDS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


def splits_of(name: str) -> set[SplitName]:
    """The splits that words of a name are called for."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    return {split for split, known in SPLIT_WORDS.items() if words & set(known)}
