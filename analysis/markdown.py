"""Tables and notes as Markdown."""

import html
from collections.abc import Sequence

import pandas as pd

Block = tuple[str, pd.DataFrame]
"""A title, empty where there is none, and rows of text."""


def document(blocks: Sequence[Block], words: Sequence[str], notes: Sequence[str]) -> str:
    """Tables below each other with the notes as a list.

    The columns named in `words` are aligned to the left, all others to the right.
    """
    tables = [
        f"**{title}**\n\n{table(rows, words)}" if title else table(rows, words)
        for title, rows in blocks
    ]
    lines = "\n".join(f"- {html.escape(note, quote=False)}" for note in notes)
    return "\n\n".join([*tables, lines]) + "\n"


def table(rows: pd.DataFrame, words: Sequence[str]) -> str:
    """Rows of text as one table; the columns named in `words` are aligned to the left."""
    alignment = ["left" if name in words else "right" for name in rows]
    text = rows.map(lambda cell: cell.replace("|", "\\|"))
    return str(text.to_markdown(index=False, disable_numparse=True, colalign=alignment))
