"""What the modules of `evaluate` of texts share: items with one reference, or with several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from finegrid.records.references import references

if TYPE_CHECKING:
    import datasets


def text_features() -> list[datasets.Features]:
    """What a text is held against: a reference, or a list of them."""
    import datasets

    text = datasets.Value("string")
    return [
        datasets.Features({"predictions": text, "references": one})
        for one in (text, datasets.Sequence(text))
    ]


def streams(given: Sequence[str | Sequence[str]]) -> list[list[Any]]:
    """The references as sacrebleu takes them: the first of every item, then the second, and so on.

    None stands where an item has no more, which its annotations do not know of.
    """
    return [list(one) for one in zip_longest(*map(references, given))]
