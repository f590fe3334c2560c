"""Tables and notes as Markdown."""

import html
import re
from collections.abc import Sequence

import pandas as pd

Block = tuple[str, pd.DataFrame]
"""A title, empty where there is none, and rows of text."""
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
"""Where Markdown would begin HTML; the `<` of `p < 0.05` stays as it is."""


def document(blocks: Sequence[Block], words: Sequence[str], notes: Sequence[str]) -> str:
    """Tables below each other with the notes as a list.

    The columns named in `words` are aligned to the left, all others to the right.
    """
    tables = [
        f"**{title}**\n\n{table(rows, words)}" if title else table(rows, words)
        for title, rows in blocks
    ]
    return "\n\n".join([*tables, bullets(notes)]) + "\n"


def bullets(notes: Sequence[str]) -> str:
    """Notes as a list."""
    return "\n".join(f"- {html.escape(note, quote=False)}" for note in notes)


def fenced(text: str) -> str:
    """Text that is shown as it is, behind a fence that no line of it ends."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def table(rows: pd.DataFrame, words: Sequence[str]) -> str:
    """Rows of text as one table; the columns named in `words` are aligned to the left."""
    alignment = ["left" if name in words else "right" for name in rows]
    text = rows.map(lambda cell: _TAG.sub("&lt;", cell).replace("|", "\\|"))
    return str(text.to_markdown(index=False, disable_numparse=True, colalign=alignment))
