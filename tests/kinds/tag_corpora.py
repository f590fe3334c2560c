"""Random sentences with entities, and what seqeval 1.2.2 makes of tags in its strict mode.

`python -m tests.kinds.tag_corpora` writes the file again, where the package seqeval is installed.
"""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parents[1] / "golden" / "tag_schemes.json"
NAMES = {name: name for name in ("IOB1", "IOB2", "IOE1", "IOE2", "BILOU")} | {"BIOES": "IOBES"}
"""Scheme -> what seqeval calls it."""
SIGNS = {
    **{"IOB1": "BI", "IOB2": "BI", "IOE1": "IE", "IOE2": "IE"},
    **{"BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES"},
}
Span = tuple[str, int, int]


def draw_spans(rng: np.random.Generator) -> tuple[list[Span], int]:
    """Entities of two types, many of which touch, and how many words there are."""
    spans: list[Span] = []
    at = 0
    for _ in range(int(rng.integers(1, 6))):
        at += int(rng.choice([0, 0, 1, 2]))
        end = at + int(rng.integers(1, 4))
        spans.append((str(rng.choice(["PER", "LOC"])), at, end))
        at = end
    return spans, at + int(rng.integers(0, 2))


def tagged(spans: Sequence[Span], count: int, scheme: str) -> list[str]:
    """The tags of so many words, as each scheme is defined."""
    tags = ["O"] * count
    touching = {
        second[1] for first, second in pairwise(spans) if second[:2] == (first[0], first[2])
    }
    for kind, start, end in spans:
        signs = _SIGNS[scheme](end - start, start in touching, end in touching)
        tags[start:end] = [f"{sign}-{kind}" for sign in signs]
    return tags


_SIGNS: dict[str, Callable[[int, bool, bool], str]] = {
    "IOB1": lambda n, after, before: ("B" if after else "I") + "I" * (n - 1),
    "IOB2": lambda n, after, before: "B" + "I" * (n - 1),
    "IOE1": lambda n, after, before: "I" * (n - 1) + ("E" if before else "I"),
    "IOE2": lambda n, after, before: "I" * (n - 1) + "E",
    "BIOES": lambda n, after, before: "S" if n == 1 else "B" + "I" * (n - 2) + "E",
    "BILOU": lambda n, after, before: "U" if n == 1 else "B" + "I" * (n - 2) + "L",
    "BMES": lambda n, after, before: "S" if n == 1 else "B" + "M" * (n - 2) + "E",
}
"""Of the words of an entity, and whether one of its type ends before it or begins behind it."""


def is_read(spans: Sequence[Span], scheme: str) -> bool:
    """Whether seqeval reads all of them: of IOE1 it reads none of one word before another."""
    short = any(a[2] - a[1] == 1 and b[:2] == (a[0], a[2]) for a, b in pairwise(spans))
    return scheme != "IOE1" or not short


def noisy(rng: np.random.Generator, tags: Sequence[str], scheme: str) -> list[str]:
    """The tags, two of five of which are any of the scheme."""
    every = ["O", *(f"{sign}-{kind}" for sign in SIGNS[scheme] for kind in ("PER", "LOC"))]
    return [str(rng.choice(every)) if rng.random() < 0.4 else tag for tag in tags]


def corpus(scheme: str, seed: int, rows: int = 12) -> tuple[list[list[str]], list[list[str]]]:
    """True tags, and predicted ones."""
    rng = np.random.default_rng(seed)
    true: list[list[str]] = []
    while len(true) < rows:
        spans, count = draw_spans(rng)
        if is_read(spans, scheme):
            true.append(tagged(spans, count, scheme))
    return true, [noisy(rng, row, scheme) for row in true]


def _of_seqeval(scheme: str, seed: int) -> dict[str, Any]:
    from seqeval import metrics  # type: ignore[import-not-found]
    from seqeval import scheme as schemes

    true, found = corpus(scheme, seed)
    how = getattr(schemes, NAMES[scheme])
    scores = {
        name: getattr(metrics, f"{name}_score")(true, found, mode="strict", scheme=how)
        for name in ("f1", "precision", "recall")
    }
    rows = [
        [" ".join(row), " ".join(f"{one.tag}:{one.start}:{one.end}" for one in entities)]
        for row, entities in zip(found, schemes.Entities(found, how).entities, strict=True)
    ]
    return {"true": [" ".join(row) for row in true], "found": rows} | scores


def main() -> None:
    """Write the file of what seqeval says."""
    found = {name: [_of_seqeval(name, seed) for seed in range(4)] for name in NAMES}
    FILE.write_text(json.dumps(found, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
