"""Inputs of which each row is a whole file: what pictures and recordings share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

from kinds.contract import Examined, Inputs

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 5


class WholeFiles(Inputs):
    """The bytes of a file a row, in one column."""

    column: ClassVar[str]
    noun: ClassVar[str]
    """What several of the files are called."""

    def schema(self) -> pa.Schema:
        """One column of bytes."""
        import pyarrow as pa

        return pa.schema([(self.column, pa.binary())])

    def problems(self, rows: pa.Table) -> Iterator[str]:
        """Files that cannot be read to their end."""
        found = ((row, self.examine(content)) for row, content in files_of(rows, self.column))
        yield from wrong_files(self, found)

    @abstractmethod
    def examine(self, content: bytes) -> Examined:
        """What a whole file holds, or what is wrong with it."""


def wrong_files(inputs: Inputs, found: Iterable[tuple[str, Examined]]) -> Iterator[str]:
    """How many of the files are wrong, and the first of them with the reason."""
    if not isinstance(inputs, WholeFiles):
        return
    wrong = [(name, one.problem) for name, one in found if one.problem]
    if wrong:
        shown = "; ".join(f"{name}: {problem}" for name, problem in wrong[:_SHOWN])
        more = "; ..." if len(wrong) > _SHOWN else ""
        leave = f"drop: {{{inputs.column}: [...]}} with these names"
        allowed = f"allowed: whole files, or {leave}"
        yield f"{len(wrong)} {inputs.noun}: {shown}{more}; {allowed}"


def files_of(rows: pa.Table, column: str) -> Iterator[tuple[str, bytes]]:
    """The id of each row and the bytes of its file, which are held one at a time."""
    for row, content in zip(rows["id"], rows[column], strict=True):
        yield row.as_py(), content.as_py()
