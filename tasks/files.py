"""A user's own table files as a task: which columns hold the texts and the label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, JsonValue

from finegrid.records.prepared import SplitName
from kinds.registry import SEVERAL, kind_named, with_labels
from tasks import parallel_texts
from tasks.contract import Task
from tasks.file_features import Fitted, scaled_label, with_numbers
from tasks.file_kinds import checked_needs, needs_of
from tasks.file_labels import label_numbers, label_values
from tasks.file_options import Columns, Dropped, HeldOut, SplitFiles, flat
from tasks.file_references import ReferencesAre, check_references
from tasks.file_rows import Reading
from tasks.file_tags import named_tags
from tasks.registry import register
from tasks.table_files import PLAIN, Format

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

REGISTERED = "table-files"
"""The task's name, of which a benchmark's entry with files of its own is made."""


@register(REGISTERED)
@dataclass(frozen=True)
class Files(Task):
    """Texts, pairs of them, numbers, or whole files of parquet, with a label: rows of tables.

    A text is taken as it stands, also one that reads `NA`. Of a label the spaces about it are
    dropped. A classification's labels are whole numbers and other decimal numbers (1.0 is 1) where
    all of them are, else words. What `split` holds out of the training file is as the labels are
    distributed there, or whole groups.
    """

    splits: SplitFiles
    """Names of the files below the source."""
    columns: Columns
    kind: str = ""
    """Required: a registered one."""
    labels: tuple[str, ...] = ()
    """Class names by index; empty for a regression."""
    written: tuple[str, ...] = ()
    """The labels as the files have them, by the index of their class; empty: the names."""
    scores: tuple[str, ...] = ()
    """Names of registered metrics; empty: the kind's."""
    format: Format = PLAIN
    drop: Dropped = field(default_factory=dict)
    split: HeldOut | None = field(default=None)
    asked: Annotated[dict[str, JsonValue], Field(exclude_if=lambda value: not value)] = field(
        default_factory=dict
    )
    """What the benchmark says of the kind, by the fields of the kind's class."""
    references: Annotated[ReferencesAre | None, Field(exclude_if=lambda value: value is None)] = (
        field(default=None)
    )
    """Where several texts stand that are right for a source; None: there is one."""

    features: Annotated[Fitted | None, Field(exclude_if=lambda value: value is None)] = field(
        default=None
    )
    """How columns become numbers; None: they hold numbers, which are taken as they stand."""

    def __post_init__(self) -> None:
        """Check the options against each other. Raises ValueError."""
        if problem := split_problem(self.splits, self.split):
            raise ValueError(": ".join(problem))
        needs = checked_needs(self.kind)
        needs.check(self.columns)
        given = [name for name, column in self.columns.items() if column is not None]
        if conflict := kind_named(self.kind, self._said).conflict(given):
            raise ValueError(": ".join(conflict))
        if self.references is not None:
            check_references(self.references, self.columns, needs)
        if needs.named != bool(self.labels):
            raise ValueError(
                f"labels: {list(self.labels)} do not go with kind {self.kind!r}; "
                "a classification names its classes or tags, and it alone"
            )
        if self.written and len(self.written) != len(self.labels):
            raise ValueError(f"written: {len(self.written)} labels; allowed: {len(self.labels)}")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that are named, or the kind's for a table of such columns."""
        given = [name for name, column in self.columns.items() if column is not None]
        return self.scores or kind_named(self.kind, self.kind_options).metrics(given)

    @property
    def kind_options(self) -> Mapping[str, JsonValue]:
        """What the benchmark says of the kind."""
        return with_labels(self.kind, self._said, self.labels)

    @property
    def _said(self) -> dict[str, JsonValue]:
        """What the kind is made with, its labels aside."""
        return self.asked | ({SEVERAL: True} if self.references else {})

    @property
    def input_size(self) -> int | None:
        """How many numbers make a row; None for texts."""
        if self.features is not None:
            return self.features.width
        numbers = (self.columns.get(key) for key in needs_of(self.kind).numbers)
        several = [names for names in numbers if isinstance(names, tuple)]
        return len(several[0]) if several else None

    def files(self) -> tuple[str, ...]:
        """The files of the splits."""
        return tuple(file for files in self.splits.named.values() for file in files)

    def dropped(self, folder: Path) -> Mapping[str, int]:
        """Lines of texts side by side that are blank in one file or in all."""
        if not self.format.parallel:
            return {}
        found = parallel_texts.left_out(self._paths(folder), flat(self.columns), self.format)
        return {parallel_texts.LEFT_OUT: sum(found.values())} if found else {}

    def read(self, folder: Path) -> dict[SplitName, pa.Table]:
        """See the contract; ids are the split's file and the number of the row in it, from 1."""
        paths = self._paths(folder)
        needs, said = needs_of(self.kind), (self.split, self.format, self.drop)
        kind = kind_named(self.kind, self._said)
        held = needs.composed, needs.files
        how = Reading(
            self.columns,
            needs.truths,
            *said,
            *held,
            kind=kind,
            references=self.references,
            features=self.features.options if self.features else None,
        )
        rows = how.load(paths)
        if self.features is not None:
            rows = {name: with_numbers(part, self.features) for name, part in rows.items()}
        if needs.truths == "tags":
            return named_tags(rows, self.written or self.labels, self.labels)
        if not needs.labelled:
            return {name: part.drop_columns("place") for name, part in rows.items()}
        values: Mapping[SplitName, NDArray[Any]]
        if self.labels:
            values = label_numbers(rows, self.written or self.labels)
        else:
            scale = self.features.label if self.features else None
            values = {name: scaled_label(label_values(rows[name]), scale) for name in rows}
        return {name: _labelled(rows[name], values[name]) for name in rows}

    def _paths(self, folder: Path) -> dict[SplitName, list[Path]]:
        named = self.splits.named.items()
        return {name: [folder / file for file in files] for name, files in named}


def _labelled(rows: pa.Table, labels: NDArray[Any]) -> pa.Table:
    """The rows with these labels, and without their places."""
    import pyarrow as pa

    texts = [name for name in rows.column_names if name not in ("place", "label")]
    return rows.select(texts).append_column("label", pa.array(labels))


def split_problem(splits: SplitFiles, split: HeldOut | None) -> tuple[str, str] | None:
    """What is wrong with the files and shares of the splits, as key and sentence."""
    shares = split.shares if split else {}
    by_value = split.by_value if split else {}
    if split and (split.lists or split.group_pattern is not None):
        key = "lists" if split.lists else "group_pattern"
        return f"split.{key}", "the files are tables; allowed: for folders of whole files"
    for name in ("validation", "test"):
        taken = name in shares or name in by_value
        if name in splits.named and taken:
            return f"split.{name}", "files names it too; allowed: one of the two"
        if name not in splits.named and not taken:
            return f"files.{name}", "this split is missing; allowed: a file, or a share in split"
    if sum(shares.values()) >= 1:
        return "split", f"shares of {sum(shares.values()):g} leave nothing to train on"
    return None
