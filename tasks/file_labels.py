"""The classes of a user's own files: found in the training rows, named and ordered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from finegrid.records.prepared import SplitName
from tasks.file_checks import listed
from tasks.file_options import ClassNames
from tasks.table_files import TableError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_MISSING = ("na", "n/a", "nan", "none", "null")
"""What programs write for a label that is not there, in folded case."""
_SHOWN = 20


def find_labels(written: Iterable[str]) -> tuple[str, ...]:
    """The classes that labels name: numbers in their order, or words in that of their letters.

    Raises TableError for a missing label among numbers.
    """
    values = set(written)
    numbers = {value for value in values if _DECIMAL.fullmatch(value)}
    if numbers == values:
        return tuple(sorted(set(map(_plain, values)), key=Decimal))
    missing = [value for value in values if value.casefold() in _MISSING]
    if numbers and missing:
        raise TableError(
            ("columns", "label"),
            f"{missing[0]!r} stands beside numbers; allowed: a number in every row, or a word in "
            f"every row, or drop: {{label: [{missing[0]!r}]}}",
        )
    return tuple(sorted(values))


def named_classes(
    found: tuple[str, ...], given: ClassNames | None, stored: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels as they are written, in the order of the classes, and the classes' names.

    The names are those that are given, else those that the file itself stores for 0, 1, ...
    Raises TableError for names that do not fit the labels that were found.
    """
    if given is None:
        by_number = dict(zip(map(str, range(len(stored))), stored, strict=True))
        is_named = set(found) <= set(by_number) and len(set(stored)) == len(stored)
        return found, tuple(by_number[label] for label in found) if is_named else found
    if isinstance(given, Mapping):
        named = {canonical(value, found): name for value, name in given.items()}
        if set(named) != set(found):
            raise _misfit(sorted({*named} ^ {*found}), found, "a name for each of these")
        return tuple(named), tuple(named.values())
    order = tuple(canonical(name, found) for name in given)
    if set(order) == set(found):
        return order, order
    if found == tuple(map(str, range(len(given)))):
        return found, given
    allowed = "these in an order of yours, or a mapping from each of them to its name"
    raise _misfit(sorted({*order} - {*found}), found, allowed)


def _misfit(values: Sequence[str], found: Sequence[str], allowed: str) -> TableError:
    labels = listed_labels(found)
    return TableError(
        ("labels",), f"{listed_labels(values)} do not fit the labels {labels}; allowed: {allowed}"
    )


def listed_labels(labels: Sequence[str]) -> str:
    """The first of some labels, in quotes."""
    more = f", ... ({len(labels)} in all)" if len(labels) > _SHOWN else ""
    return ", ".join(map(repr, labels[:_SHOWN])) + more


def canonical(label: str, labels: Sequence[str]) -> str:
    """The label as the classes have it: where all of them are numbers, 1 for 1.0."""
    as_numbers = all(map(_DECIMAL.fullmatch, labels))
    return _plain(label) if as_numbers and _DECIMAL.fullmatch(label) else label


def _plain(number: str) -> str:
    """A decimal number without zeros at its end: 1 for 1.0."""
    whole, _, decimals = number.partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else "0" if whole == "-0" else whole


def label_numbers(
    given: Mapping[SplitName, pa.Table], labels: Sequence[str]
) -> dict[SplitName, NDArray[np.int64]]:
    """The class index of every row. Raises TableError for a label that is no class."""
    import numpy as np

    index = {label: number for number, label in enumerate(labels)}
    found: dict[SplitName, NDArray[np.int64]] = {}
    for name, rows in given.items():
        written = rows["label"].combine_chunks().dictionary_encode()
        texts = [canonical(label, labels) for label in written.dictionary.to_pylist()]
        codes = written.indices.to_numpy()
        found[name] = np.array([index.get(text, -1) for text in texts], dtype=np.int64)[codes]
        bad = np.flatnonzero(found[name] < 0)
        if len(bad):
            places = listed(rows["place"].take(bad).to_pylist())
            raise TableError(
                ("columns", "label"),
                f"{name}: {texts[codes[bad[0]]]!r} in {places} is no label of the training data; "
                f"allowed: {listed_labels(labels)}",
            )
    return found


def label_values(rows: pa.Table) -> NDArray[np.float64]:
    """The labels of checked rows of a regression, as numbers."""
    import numpy as np

    texts = (label.as_py() for label in rows["label"])
    return np.fromiter(map(float, texts), np.float64, rows.num_rows)
