"""The checked rows of a user's own files, and their splits, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finegrid.records.prepared import SPLITS, SplitName
from kinds.contract import Composed, Examined, Kind, SettingError
from kinds.registry import told
from tasks import parallel_texts
from tasks.file_checks import Checks, number
from tasks.file_features import FeatureOptions, as_numbers, fit
from tasks.file_kinds import parts_given
from tasks.file_labels import find_labels, label_numbers, named_classes
from tasks.file_options import (
    ClassNames,
    Columns,
    Dropped,
    HeldOut,
    as_content,
    as_label,
    as_text,
    flat,
)
from tasks.file_references import (
    BETWEEN,
    ReferencesAre,
    SeveralTexts,
    by_source,
    one_each,
)
from tasks.file_tags import TAGS, survey_tags
from tasks.given_splits import by_value, check_groups
from tasks.made_rows import MadeRows, MakeRow, texts_held
from tasks.splitting import divided, grouped, proportional
from tasks.survey import Survey
from tasks.table_files import PLAIN, Format, Row, TableError, Wanted, read_rows, stored_names

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 10
"""Rows that are held as Python's own values at a time."""
_LABEL, _MADE, _GROUP, _SPLIT = "label", "made", "group", "split"
Paths = Mapping[SplitName, Sequence[Path]]


@dataclass(frozen=True)
class Reading:
    """How the rows of some files become examples."""

    columns: Columns
    truths: str
    """What is true of a row: classes, numbers, texts or tags."""
    split: HeldOut | None = None
    how: Format = PLAIN
    drop: Dropped = field(default_factory=dict)
    composed: Mapping[str, Composed] = field(default_factory=dict)
    """The columns of which several are made."""
    files: tuple[str, ...] = ()
    """Columns that hold whole files: their bytes, alone or as the datasets library keeps them."""
    examine: Callable[[bytes], Examined] | None = None
    """What looks at them, if anything does."""
    examined: list[tuple[str, Examined]] = field(default_factory=list)
    """The id of each row that was read, and what was found in its file."""
    kind: Kind | None = None
    """What makes the rows, if a kind does."""
    references: ReferencesAre | None = None
    """Where several texts stand that are right for a source; None: there is one."""
    features: FeatureOptions | None = None
    """How columns become numbers; None: they hold numbers, which are taken as they stand."""
    _unused: set[tuple[str, str]] = field(default_factory=set)

    @property
    def classes(self) -> bool:
        """Whether a label is a class."""
        return self.truths == "classes"

    @property
    def _is_labelled(self) -> bool:
        return self.truths in ("classes", "numbers")

    @property
    def _is_made(self) -> bool:
        return self.kind is not None and (self.kind.makes_rows or self.references is not None)

    @property
    def _true(self) -> tuple[str, ...]:
        """The columns of the kind that hold what is true."""
        return tuple(self.kind.output.schema().names) if self.kind is not None else ()

    @property
    def _maker(self) -> MakeRow | None:
        """What makes a row, where that is not the kind."""
        return SeveralTexts(self.references, self._true[0]).row if self.references else None

    def survey(self, paths: Paths, labels: ClassNames | None = None) -> Survey:
        """What files at these paths hold, all of which is checked.

        Raises TableError for files that no task can be made of, and OSError.
        """
        rows = self.load(paths, keep_texts=self.features is not None)
        counts = {name: part.num_rows for name, part in rows.items()}
        remarks, features = fit(rows, self.columns, self.features, classes=self.classes)
        if self.truths == TAGS:
            column = flat(self.columns).get(TAGS)
            stored = stored_names(paths["train"][0], column) if column is not None else ()
            written, names, tags = survey_tags(rows, labels, stored, of_spans=column is None)
            return Survey(written, names, counts, found=self._decided(tags, names))
        if not self.classes:
            decided = self._decided(rows)
            return Survey((), (), counts, found=decided, remarks=remarks, features=features)
        found = find_labels(rows["train"]["label"].unique().to_pylist())
        if len(found) < 2:
            where = f"{_names(paths['train'])}, column {self.columns[_LABEL]!r}"
            problem = f"{where}: all rows are {found[0]!r}; allowed: 2 labels or more"
            raise TableError(("columns", "label"), problem)
        stored = stored_names(paths["train"][0], flat(self.columns)[_LABEL])
        written, names = named_classes(found, labels, stored)
        label_numbers(rows, written)
        return Survey(written, names, counts, remarks=remarks, features=features)

    def _decided(
        self, rows: Mapping[SplitName, pa.Table], labels: Sequence[str] = ()
    ) -> Mapping[str, Any]:
        """What rows that a kind has made decide of its fields. Raises TableError."""
        if self.kind is None or not self.kind.makes_rows:
            return {}
        try:
            return told(self.kind, labels).found(rows)
        except SettingError as error:
            raise TableError((error.key,), str(error)) from error

    def load(self, paths: Paths, *, keep_texts: bool = True) -> dict[SplitName, pa.Table]:
        """The checked rows of every split, in the order of their files.

        Columns: `id` and `place` of a row, its texts, and its label as it is written. Raises
        TableError, OSError.
        """
        import pyarrow as pa

        self._unused.update((key, value) for key, values in self.drop.items() for value in values)
        found: dict[SplitName, pa.Table] = {}
        for name, files in paths.items():
            cut = self.split if self.split and self.split.divides and name == "train" else None
            batches = [one for one in self._batches(files, name, cut, keep_texts) if one.num_rows]
            if not batches:
                raise TableError(
                    ("files", name), f"{_names(files)} has no rows; allowed: 1 or more"
                )
            rows = self._whole(pa.Table.from_batches(batches), files)
            found |= self._held_out(rows, cut) if cut else {name: rows}
        for key, value in sorted(self._unused):
            raise TableError(("drop", key), f"no row has {value!r}; allowed: what some rows have")
        if self.references:
            found["train"] = one_each(found["train"], self._true[0])
        return {name: found[name] for name in SPLITS}

    def _whole(self, rows: pa.Table, files: Sequence[Path]) -> pa.Table:
        """The rows of a split; of several that have one source, one with all of its texts."""
        if not self.references or self.kind is None:
            return rows
        named = self.split or HeldOut()
        divided_by = {_GROUP: ("group", named.group), _SPLIT: ("column", named.column)}
        dividing = {key: one for key, one in divided_by.items() if key in rows.column_names}
        return by_source(rows, self._sources(rows), self._true[0], dividing, _names(files))

    def _sources(self, rows: pa.Table) -> list[str]:
        """The columns of what texts follow from."""
        names = self.kind.inputs.schema().names if self.kind is not None else []
        return [name for name in names if name in rows.column_names]

    def _held_out(self, rows: pa.Table, split: HeldOut) -> dict[SplitName, pa.Table]:
        """The splits that the training file becomes."""
        import numpy as np

        found: dict[SplitName, pa.Table] = {}
        if split.column is not None:
            given = np.array(by_value(rows[_SPLIT].to_pylist(), split), dtype=object)
            found = {name: rows.filter(given == name) for name in split.by_value}
            rows = rows.filter(given == "train")
            if not rows.num_rows:
                raise TableError(("split", "values"), "they leave nothing to train on")
        found |= self._shares(rows, split)
        if split.group is not None and split.column is not None:
            check_groups(
                [(name, one) for name, part in found.items() for one in part[_GROUP].to_pylist()]
            )
        kept = [name for name in rows.column_names if name not in (_GROUP, _SPLIT)]
        return {name: part.select(kept) for name, part in found.items()}

    def _shares(self, rows: pa.Table, split: HeldOut) -> dict[SplitName, pa.Table]:
        """The splits that are held out of the training rows by shares, and what is left."""
        import numpy as np

        if not split.shares:
            return {"train": rows}
        groups = rows[_GROUP].to_pylist() if split.group is not None else None
        if groups is not None:
            order = grouped(groups, split.seed)
        else:
            strata = rows["label"].to_pylist() if self.classes else [""] * rows.num_rows
            order = proportional(strata, split.seed)
        try:
            parts = np.array(divided(order, split.shares, groups))
        except ValueError as error:
            raise TableError(("split",), str(error)) from error
        return {name: rows.filter(parts == name) for name in ("train", *split.shares)}

    def _batches(
        self, files: Sequence[Path], split: SplitName, cut: HeldOut | None, keep_texts: bool
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a split, numbered over all of its files."""
        import pyarrow as pa

        wanted = flat(self.columns)
        if cut is not None and cut.group is not None:
            wanted[_GROUP] = cut.group
        if cut is not None and cut.column is not None:
            wanted[_SPLIT] = cut.column
        kept = parts_given(self.columns, self.composed) if keep_texts or self._is_made else []
        label = [_LABEL] if self._is_labelled else []
        beside = [name for name in (_GROUP, _SPLIT) if name in wanted]
        order = dict.fromkeys(["id", "place", *kept, *label, *beside])
        number = 0
        read = list(self._read(files, wanted, split))
        for path, rows in read:
            numbers = frozenset(self._numbers(wanted))
            further = self._further(wanted)
            lacking = self.features.lacking(numbers) if self.features else frozenset[str]()
            held = self.files, self.composed, lacking
            check = Checks(path, wanted, numbers, further, *held)
            made = (
                MadeRows(path, self.kind, self.columns, self._maker)
                if self.kind and self._is_made
                else None
            )
            while block := list(islice(rows, _BLOCK)):
                ids = [f"{split}-{at}" for at in range(number + 1, number + len(block) + 1)]
                number += len(block)
                columns = self._columns(block, wanted) | {"id": ids}
                if made is not None:
                    columns[_MADE] = [made.values(values, wanted) for _, values in block]
                if len(read) > 1:
                    columns["place"] = [f"{path.name}, {place}" for place in columns["place"]]
                columns = self._without_dropped(columns)
                check.lists |= self._lists(block, wanted)
                check.note(columns)
                self._examine(columns)
                for key in (*label, *beside):
                    if key in (_LABEL, _SPLIT):
                        columns[key] = list(map(str.strip, columns[key]))
                arrays = made.arrays(columns[_MADE], columns["place"]) if made is not None else {}
                yield pa.record_batch({key: self._array(key, columns, arrays) for key in order})
            check.finish()
            if made is not None:
                made.finish()

    def _read(
        self, files: Sequence[Path], wanted: Wanted, split: SplitName
    ) -> Iterator[tuple[Path, Iterator[Row]]]:
        """The rows of each file, or of the files that lie side by side, by the first of them."""
        if not self.how.parallel:
            yield from ((path, read_rows(path, wanted, split, self.how)) for path in files)
            return
        for one in parallel_texts.parts(files, wanted, split):
            yield one[0], parallel_texts.examples(one, wanted, split, self.how)

    def _numbers(self, wanted: Wanted) -> Iterator[str]:
        """What has to hold a number in every row."""
        categories = self.features.category_keys(wanted) if self.features else ()
        for key in wanted if self._is_labelled else ():
            is_feature = key not in (*self.columns, _GROUP, _SPLIT, *categories)
            if is_feature or (key == _LABEL and not self.classes):
                yield key

    def _further(self, wanted: Wanted) -> frozenset[str]:
        """The columns behind the first of those that make a text together: they may be blank."""
        if self._is_made:  # the kind itself looks at its values
            return frozenset(wanted) - {_GROUP, _SPLIT}
        if self.features is not None:
            return self.features.category_keys(wanted)
        if self._is_labelled:
            return frozenset()
        return frozenset(key for key in wanted if key.endswith("]") and not key.endswith("[0]"))

    def _array(
        self, key: str, columns: Mapping[str, Sequence[Any]], made: Mapping[str, pa.Array]
    ) -> pa.Array:
        """A column as Arrow has it: text, bytes, lists of numbers of several columns, or made."""
        import pyarrow as pa

        if key in made:
            return made[key]
        several = self.columns.get(key)
        if key in self.files:
            return pa.array(columns[key], pa.binary())
        if not isinstance(several, tuple):
            return pa.array(columns[key], pa.string())
        names = flat({key: several})
        if self.truths == "texts":
            texts = zip(*(columns[one] for one in names), strict=True)
            return pa.array([BETWEEN.join(filter(str.strip, row)) for row in texts], pa.string())
        if self.features is not None:
            rows = zip(*(columns[one] for one in names), strict=True)
            return pa.array(list(map(list, rows)), pa.list_(pa.string()))
        parts = [list(map(number, columns[one])) for one in names]
        return pa.array([list(row) for row in zip(*parts, strict=True)], pa.list_(pa.float32()))

    def _columns(self, block: Sequence[Row], wanted: Wanted) -> dict[str, list[Any]]:
        """The values of some rows as text or bytes, and the places of the rows, by column."""
        columns = zip(*(values for _, values in block), strict=True)
        found: dict[str, list[Any]] = {"place": [place for place, _ in block]}
        for key, values in zip(wanted, columns, strict=True):
            if (one := self.composed.get(key)) and one.make:
                made = [_made(one.parts, one.make, value) for value in values]
                found |= dict(zip(one.parts, map(list, zip(*made, strict=True)), strict=True))
                found[key] = list(map(max, made))  # blank where nothing could be made
            else:
                plain = as_label if key == _LABEL else as_text
                found[key] = list(map(as_content if key in self.files else plain, values))
        numbers = set(self._numbers(wanted))
        return found | as_numbers(found, numbers, self.how, with_features=self.features is not None)

    def _lists(self, block: Sequence[Row], wanted: Wanted) -> set[str]:
        """The columns of a text that is true, and of which some row has a list."""
        names, rows = self._true, (values for _, values in block)
        if self.truths != "texts":
            return set()
        true = {at: key for at, key in enumerate(wanted) if key in names}
        return {key for row in rows for at, key in true.items() if isinstance(row[at], list)}

    def _examine(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Look at the files of some rows."""
        if self.examine is not None:
            for key in self.files:
                found = map(self.examine, columns[key])
                self.examined.extend(zip(columns["id"], found, strict=True))

    def _without_dropped(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """The rows that have none of the values to drop; of whole files, none of the ids."""
        kept = [True] * len(columns["id"])
        for key, values in self.drop.items():
            if values and (rows := self._held(key, columns)):
                met = [held & {*values} for held in rows]
                self._unused.difference_update((key, text) for text in set().union(*met))
                kept = [is_kept and not one for is_kept, one in zip(kept, met, strict=True)]
        return {key: list(compress(values, kept)) for key, values in columns.items()}

    def _held(self, key: str, columns: Mapping[str, Sequence[Any]]) -> list[set[str]]:
        """What each row may be dropped for: a text, any text of a list, or the id of a file."""
        composed = self.composed.get(key) if self.columns.get(key) is not None else None
        if composed and composed.held:
            return [composed.held(row.get(key)) for row in columns[_MADE]]
        if self._is_made and key in self.columns:
            values = (row.get(key) for row in columns[_MADE])
            return list(map(texts_held, values))
        return [{text.strip()} for text in columns.get("id" if key in self.files else key, ())]


def _made(
    parts: tuple[str, ...], make: Callable[[Any], tuple[str, ...]], value: Any
) -> tuple[str, ...]:
    """The parts of a value, all of them blank where they cannot be made of it."""
    try:
        return make(value)
    except ValueError:
        return ("",) * len(parts)


def _names(files: Sequence[Any]) -> str:
    return files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
