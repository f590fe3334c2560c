"""A user's own folder of files, images or sounds, in folders of their labels, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from finegrid.records.identity import shown_files
from finegrid.records.prepared import SplitName
from tasks.contract import Task
from tasks.file_kinds import checked_needs, needs_of
from tasks.file_labels import label_numbers, label_values
from tasks.file_options import Columns, Dropped, HeldOut, Metadata
from tasks.folder_rows import FolderReading
from tasks.registry import register
from tasks.table_files import PLAIN, Format

if TYPE_CHECKING:
    import pyarrow as pa

REGISTERED = "labelled-folders"
"""The task's name, of which a benchmark's entry with a folder of its own is made."""


@register(REGISTERED)
@dataclass(frozen=True)
class LabelledFolders(Task):
    """Whole files with a label each: the name of the folder, or what a file of metadata says.

    The layout is that of the Hub's folders of images and sounds: `<label>/<file>`, or
    `<split>/<label>/<file>`, or any of them with a `metadata.csv` that has a `file_name` and a
    label. Hidden files are none. Tables of other names and layouts are `metadata`. What `split`
    holds out of the training files is as the labels are distributed there, or whole groups, or what
    lists or the values of a column say.
    """

    kind: str = ""
    """Required: a registered one."""
    columns: Columns = field(default_factory=dict)
    """Of a file of metadata: `label`, where it is not called so."""
    labels: tuple[str, ...] = ()
    """Class names by index; empty for a regression."""
    written: tuple[str, ...] = ()
    """The labels as the folders are called, by the index of their class; empty: the names."""
    scores: tuple[str, ...] = ()
    """Names of registered metrics; empty: the kind's."""
    format: Format = PLAIN
    """Of a file of metadata."""
    drop: Dropped = field(default_factory=dict)
    split: HeldOut | None = None
    metadata: Annotated[Metadata | None, Field(exclude_if=lambda value: value is None)] = None
    """Tables that name the files, where these are not called as the Hub's folders have them."""

    def __post_init__(self) -> None:
        """Check the options against each other. Raises ValueError."""
        if checked_needs(self.kind).classes != bool(self.labels):
            raise ValueError(
                f"labels: {list(self.labels)} do not go with kind {self.kind!r}; "
                "a classification names its classes, and it alone"
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that are named, or the kind's."""
        return self.scores or super().metrics

    @property
    def unpacks(self) -> bool:
        """See the contract."""
        return True

    def dropped(self, folder: Path) -> Mapping[str, int]:
        """Files that neither a list nor the value of a column puts into a split."""
        left_out = FolderReading.of(self).members(folder, shown_files(folder)).left_out
        return {"in no split, by lists or values": len(left_out)} if left_out else {}

    def read(self, folder: Path) -> dict[SplitName, pa.Table]:
        """See the contract; the id of a row is the name of its file below the folder."""
        import pyarrow as pa

        (content,) = needs_of(self.kind).files
        rows = FolderReading.of(self).load(folder, shown_files(folder))
        found: dict[SplitName, pa.Table] = {}
        for name, part in rows.items():
            ids = part["id"].to_pylist()
            files = pa.array(((folder / one).read_bytes() for one in ids), pa.binary())
            found[name] = pa.table({"id": part["id"], content: files})
        if self.labels:
            numbers = label_numbers(rows, self.written or self.labels)
            return {
                name: part.append_column("label", pa.array(numbers[name]))
                for name, part in found.items()
            }
        return {
            name: part.append_column("label", pa.array(label_values(rows[name])))
            for name, part in found.items()
        }
