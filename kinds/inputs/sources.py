"""A text that an encoder reads, to be turned into another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kinds.inputs.text import Text


@dataclass(frozen=True)
class SourceText(Text):
    """The text of an encoder; a batch is padded to its longest."""

    columns: ClassVar[tuple[str, ...]] = ("source",)
    optional: ClassVar[tuple[str, ...]] = ()
