"""Reviews of any number, with duplicates that are known: for measurements alone."""

from __future__ import annotations

import ast
import csv
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("review", "stars")
LABELS = ("bad", "good")
MEDIAN_WORDS, SPREAD = 20, 0.8
"""Of the lengths, which are lognormal."""
LEAST_WORDS, MOST_WORDS = 8, 300
COPIED = 0.02
"""The share of rows that are copies of other rows, exact and near ones in turns."""
_COPIED_LETTERS = 100
"""At least, of a text that is copied: one letter changes at most ten of its 5-grams."""
_BLOCK = 1 << 14
_WORD = re.compile(r"[a-z]+")


class Copy(NamedTuple):
    """A row that reads like an earlier one, by their numbers from 1 on."""

    original: int
    copy: int
    exact: bool


def write_reviews(file: Path, rows: int, seed: int = 0) -> list[Copy]:
    """Write a CSV of that many rows; returns all the copies that it holds.

    The words are independent draws by the frequencies that they have in the documentation of
    Python's standard library.
    """
    draw = np.random.default_rng(seed)
    chosen = draw.permutation(rows)[: 2 * int(COPIED * rows)].reshape(2, -1)
    originals = dict(zip(chosen.max(axis=0).tolist(), chosen.min(axis=0).tolist(), strict=True))
    wanted, kept = set(originals.values()), dict[int, str]()
    copies: list[Copy] = []
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for row, text in enumerate(_texts(rows, draw)):
            if row in wanted and len(text) >= _COPIED_LETTERS:
                kept[row] = text
            if original := kept.get(originals.get(row, -1)):
                exact = len(copies) % 2 == 0
                copies.append(Copy(originals[row] + 1, row + 1, exact))
                shown = f"{original.upper()}!" if exact else _changed(original)
            else:
                shown = text
            table.writerow([shown, LABELS[int(draw.integers(2))]])
    return copies


def _changed(text: str) -> str:
    """The text with another sign in the place of a letter in its middle."""
    at = next(at for at in range(len(text) // 2, len(text)) if text[at] != " ")
    return f"{text[:at]}7{text[at + 1 :]}"


def _texts(rows: int, draw: np.random.Generator) -> Iterator[str]:
    """Texts of words by their frequencies."""
    words, probability = _frequencies()
    for start in range(0, rows, _BLOCK):
        count = min(_BLOCK, rows - start)
        lengths = np.exp(draw.normal(np.log(MEDIAN_WORDS), SPREAD, count)).round()
        ends = np.cumsum(np.clip(lengths, LEAST_WORDS, MOST_WORDS).astype(int))
        drawn = words[draw.choice(len(words), ends[-1], p=probability)]
        for part in np.split(drawn, ends[:-1]):
            yield " ".join(part)


def _frequencies() -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Words, and the probability of each."""
    counts = Counter(word for text in _documentation() for word in _WORD.findall(text.lower()))
    words = sorted(counts)
    found = np.array([counts[word] for word in words], dtype=np.float64)
    return np.array(words, dtype=object), found / found.sum()


def _documentation() -> Iterator[str]:
    """The docstrings of the modules of the standard library."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, documented) and (text := ast.get_docstring(node)):
                yield text
