"""Rows of numbers and categories as a network reads them: scaled, filled in, a number a category.

All that is measured for it is measured on the training rows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from finegrid.records.base import Record
from finegrid.records.prepared import SplitName
from tasks.file_options import Columns, flat
from tasks.table_files import ColumnName, Format, TableError, Wanted

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

FEATURES = "features"
"""The key of a task's entry that says how columns become numbers, and the kinds' column of them."""
LABEL = "label"


class FeatureOptions(Record):
    """How the values of a row of columns become the numbers of an example."""

    scale: Literal["none", "standard"] = "none"
    """`standard`: less the mean of a column, by its standard deviation."""
    missing: Literal["refused", "mean"] = "refused"
    """`mean`: the column's mean stands for a missing number, and one more number says so."""
    categories: tuple[ColumnName, ...] = ()
    """Columns of words or codes, each of which becomes a number of 0 or 1."""
    scale_label: bool = False
    """Whether the label of a regression is scaled, too."""

    def category_keys(self, wanted: Wanted) -> frozenset[str]:
        """The keys of the columns of categories."""
        return frozenset(
            key for key, name in wanted.items() if _is_feature(key) and name in self.categories
        )

    def lacking(self, numbers: frozenset[str]) -> frozenset[str]:
        """Of keys of numbers those that a row may lack."""
        fills = self.missing != "refused"
        return frozenset(filter(_is_feature, numbers)) if fills else frozenset()


class Feature(Record):
    """How the values of one column become numbers."""

    fill: float = 0.0
    """What stands for a missing number."""
    shift: float = 0.0
    deviation: Annotated[float, Field(gt=0)] = 1.0
    marks_missing: bool = False
    """Whether one more number says that a number is missing."""
    categories: tuple[str, ...] | None = None
    """Of a column of categories; "" is a missing one. Any other becomes zeros."""

    @property
    def width(self) -> int:
        """The numbers that a value becomes."""
        return len(self.categories) if self.categories is not None else 1 + self.marks_missing


class Fitted(Record):
    """What the training rows say of the columns, in their order."""

    options: FeatureOptions
    columns: tuple[Feature, ...]
    label: Feature | None = None
    """None where the label is taken as it stands."""

    @property
    def width(self) -> int:
        """The numbers of an example."""
        return sum(one.width for one in self.columns)


def check_options(options: FeatureOptions, columns: Sequence[str | int], *, classes: bool) -> None:
    """Refuse categories that are no features, and to scale a class. Raises TableError."""
    for name in options.categories:
        if name not in columns:
            allowed = f"allowed: {', '.join(map(repr, columns))}"
            problem = f"{name!r} is none of columns.features; {allowed}"
            raise TableError((FEATURES, "categories"), problem)
    if options.scale_label and classes:
        allowed = "allowed: false, for the label is a class"
        raise TableError((FEATURES, "scale_label"), allowed)


def fit(
    splits: Mapping[SplitName, pa.Table],
    columns: Columns,
    options: FeatureOptions | None,
    *,
    classes: bool,
) -> tuple[tuple[str, ...], Fitted | None]:
    """What the training rows say of the columns that become numbers, and what they lack.

    Raises TableError.
    """
    if options is None:
        return (), None
    names = [*flat({FEATURES: columns[FEATURES]}).values()]
    found = fitted(splits["train"], names, options, classes=classes)
    return tuple(unknown_categories(splits, names, found)), found


def fitted(
    rows: pa.Table, names: Sequence[str | int], options: FeatureOptions, *, classes: bool
) -> Fitted:
    """What training rows say of their columns. Raises TableError for one without a number."""
    values = _columns(rows)
    found = [_feature(name, one, options) for name, one in zip(names, values, strict=True)]
    label = None
    if options.scale_label and not classes:
        label = _of_numbers([float(one) for one in rows[LABEL].to_pylist()], standard=True)
    return Fitted(options=options, columns=tuple(found), label=label)


def _feature(name: str | int, values: Sequence[str], options: FeatureOptions) -> Feature:
    if name in options.categories:
        return Feature(categories=tuple(sorted({*values})))
    numbers = [float(value) for value in values if value]
    if not numbers:
        raise TableError(
            ("columns", FEATURES), f"{name!r} has no number in a training row; allowed: 1 or more"
        )
    found = _of_numbers(numbers, standard=options.scale == "standard")
    return found.model_copy(update={"marks_missing": len(numbers) < len(values)})


def _of_numbers(numbers: Sequence[float], *, standard: bool) -> Feature:
    """The mean and the standard deviation of the numbers; 1 of those that are all the same."""
    import numpy as np

    mean, deviation = float(np.mean(numbers)), float(np.std(numbers))
    if not standard:
        return Feature(fill=mean)
    is_constant = min(numbers) == max(numbers)
    return Feature(fill=mean, shift=mean, deviation=1.0 if is_constant else deviation)


def with_numbers(rows: pa.Table, found: Fitted) -> pa.Table:
    """The rows with the numbers that a network reads."""
    import numpy as np
    import pyarrow as pa

    pairs = zip(found.columns, _columns(rows), strict=True)
    table = np.hstack([_numbers(one, values) for one, values in pairs]).astype(np.float32)
    column = pa.array(list(table), pa.list_(pa.float32()))
    return rows.set_column(rows.column_names.index(FEATURES), FEATURES, column)


def _numbers(feature: Feature, values: Sequence[str]) -> NDArray[np.float64]:
    """What the values of a column become, (rows, width)."""
    import numpy as np

    if feature.categories is not None:
        return np.array([[value == one for one in feature.categories] for value in values], float)
    filled = np.array([float(value) if value else feature.fill for value in values])
    scaled = (filled - feature.shift) / feature.deviation
    missing = [np.array([not value for value in values], float)] if feature.marks_missing else []
    return np.column_stack([scaled, *missing])


def scaled_label(values: NDArray[np.float64], label: Feature | None) -> NDArray[np.float64]:
    """The labels of a regression as they are learnt."""
    return values if label is None else (values - label.shift) / label.deviation


def unknown_categories(
    splits: Mapping[SplitName, pa.Table], names: Sequence[str | int], found: Fitted
) -> Iterator[str]:
    """What other splits have of categories that no training row has: numbers that are all 0."""
    for split, rows in splits.items():
        for name, feature, values in zip(names, found.columns, _columns(rows), strict=True):
            if feature.categories is None:
                continue
            count = sum(value not in feature.categories for value in values)
            if count:
                known = "which no training row has: all of its numbers are 0"
                yield f"{split}: {count} rows have a {name!r} {known}"


def _columns(rows: pa.Table) -> list[list[str]]:
    """The values of each column of the features."""
    return list(map(list, zip(*rows[FEATURES].to_pylist(), strict=True)))


def number_text(text: str, how: Format) -> str:
    """A number as Python writes it, of a text as a file does; in quotes where it is none."""
    value = text.strip()
    if not value or (how.decimal == "." and how.thousands is None):
        return value
    thousands, decimal = re.escape(how.thousands or ""), re.escape(how.decimal)
    whole = rf"\d+|\d{{1,3}}({thousands}\d{{3}})+" if thousands else r"\d+"
    if not re.fullmatch(rf"[-+]?({whole})?({decimal}\d*)?([eE][-+]?\d+)?", value):
        return repr(value)
    plain = value.replace(how.thousands, "") if how.thousands else value
    return plain.replace(how.decimal, ".")


def as_numbers(
    found: Mapping[str, Sequence[str]],
    numbers: Collection[str],
    how: Format,
    *,
    with_features: bool,
) -> dict[str, list[str]]:
    """The values of the columns of features, and of those of numbers, as Python writes them."""
    texts: dict[str, list[str]] = {}
    for key, values in found.items():
        if key not in numbers and not _is_feature(key):
            continue
        texts[key] = [value.strip() for value in values]
        if _is_feature(key) and with_features:
            texts[key] = ["" if value in how.missing else value for value in texts[key]]
        if key in numbers:
            texts[key] = [number_text(value, how) for value in texts[key]]
    return texts


def _is_feature(key: str) -> bool:
    return key.startswith(f"{FEATURES}[")
