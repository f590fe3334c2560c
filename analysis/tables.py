"""The main table of a benchmark as CSV, Markdown and LaTeX.

    python -m analysis.tables --runs-table FILE.csv --pairs-table FILE.csv \\
        --output-stem results/tables/<benchmark>
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.cells import table_rows
from analysis.columns import COLUMNS, HEADERS, SHORT_COLUMNS, Column, short_legend
from analysis.comparability import split_by_fingerprint
from analysis.errors import one_line_errors
from analysis.frame import read_pairs, read_runs, write_table
from analysis.markdown import document
from analysis.notes import cost_notes, coverage, dequantised_notes, notes
from analysis.summary import groups
from finegrid.records.write import write_text

LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "—": "---",
        "·": r"$\cdot$",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)


def short_tables(
    frame: pd.DataFrame, pairs: pd.DataFrame | None = None
) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, headers and rows for a terminal: one table for each task, model and fingerprint."""
    headers = [column.header for column in SHORT_COLUMNS]
    return [
        (title, headers, _texts(SHORT_COLUMNS, rows))
        for title, rows in groups(table_rows(frame, pairs))
    ]


def short_markdown(frame: pd.DataFrame, pairs: pd.DataFrame | None = None) -> str:
    """The same tables in Markdown, with a line that says what their columns are."""
    blocks = [
        (title.replace("\n", ": "), pd.DataFrame(rows, columns=headers))
        for title, headers, rows in short_tables(frame, pairs)
    ]
    costs = cost_notes(split_by_fingerprint(frame))
    below = [short_legend(frame), *dequantised_notes(frame), *costs, coverage(frame)]
    return document(blocks, ("variant", "runs"), below)


def write_tables(frame: pd.DataFrame, stem: Path, pairs: pd.DataFrame | None = None) -> None:
    """Write `<stem>.csv` (raw numbers), `<stem>.md` and `<stem>.tex` (for people), atomically.

    `pairs` are those of `pair_rows`, with the intervals of the differences. The Markdown and the
    LaTeX, in the style of booktabs, have notes below. Raises AnalysisError where the seeds of a
    cell contradict each other.
    """
    summary = table_rows(frame, pairs)
    below = notes(frame, summary)
    write_table(summary, stem.with_name(stem.name + ".csv"))
    write_text(stem.with_name(stem.name + ".md"), _markdown(summary, below))
    write_text(stem.with_name(stem.name + ".tex"), _latex(summary, below))


def _markdown(summary: pd.DataFrame, below: list[str]) -> str:
    words = [column.header for column in COLUMNS if column.measure is None]
    return document(_sections(summary), words, below)


def _latex(summary: pd.DataFrame, below: list[str]) -> str:
    alignment = "".join("r" if column.measure else "l" for column in COLUMNS)
    blocks = [
        rows.rename(columns=_latex_text)
        .map(_latex_text)
        .to_latex(index=False, escape=False, column_format=alignment, caption=_latex_text(title))
        for title, rows in _sections(summary)
    ]
    comment = "\n\n".join(_latex_text(note) for note in below)
    return f"% needs \\usepackage{{booktabs}}\n{''.join(blocks)}\n{{\\footnotesize\n{comment}\n}}\n"


def _sections(summary: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """One table of all groups with one fingerprint, and one of each part of a group with more."""
    where = (summary["task"] + " · " + summary["model"] + ": " + summary["difference"]).where(
        summary["difference"] != "", ""
    )
    return [
        (str(title), pd.DataFrame(_texts(COLUMNS, rows), columns=HEADERS))
        for title, rows in summary.groupby(where, sort=False)
    ]


def _texts(columns: Sequence[Column], summary: pd.DataFrame) -> list[list[str]]:
    return [[column.text(row) for column in columns] for _, row in summary.iterrows()]


def _latex_text(text: str) -> str:
    return text.translate(LATEX)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="analysis.tables", description=__doc__)
    parser.add_argument("--runs-table", type=Path, required=True, help="CSV of analysis.collect")
    parser.add_argument(
        "--pairs-table",
        type=Path,
        help="CSV of analysis.evidence, for the intervals of differences",
    )
    parser.add_argument("--output-stem", type=Path, required=True, help="path without its ending")
    arguments = parser.parse_args()
    with one_line_errors():
        pairs = read_pairs(arguments.pairs_table) if arguments.pairs_table else None
        write_tables(read_runs(arguments.runs_table), arguments.output_stem, pairs)


if __name__ == "__main__":
    main()
