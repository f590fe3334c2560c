"""What a reader sees of the synthetic benchmark: its main table, its figures and their words."""

import re
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.cells import table_rows
from analysis.columns import COLUMNS, HEADERS
from analysis.figures.captions import ACROSS, FIGURES, captions
from analysis.figures.drawing import Inputs, house_style
from analysis.plots import draw
from analysis.summary import summarise
from analysis.tables import write_tables


def main_table(table: pd.DataFrame, pairs: pd.DataFrame | None = None) -> list[dict[str, str]]:
    """Every row of the main table: header -> text."""
    return [
        dict(zip(HEADERS, (column.text(row) for column in COLUMNS), strict=True))
        for _, row in table_rows(table, pairs).iterrows()
    ]


def written(table: pd.DataFrame, folder: Path, ending: str = ".md") -> str:
    """The main table as it stands in its file."""
    write_tables(table, folder / "table")
    return (folder / f"table{ending}").read_text()


def drawn(name: str, table: pd.DataFrame, runs: Path, trials: pd.DataFrame | None = None) -> Figure:
    """The figure of that name."""
    found = {one.name: one for one in (*FIGURES, *ACROSS, *captions(table, trials))}
    with house_style():
        return draw(found[name], Inputs(table, summarise(table), runs, trials))


def words(figure: Figure) -> str:
    """All text outside of the axes."""
    return " ".join(re.sub(r"\s+", " ", text.get_text()) for text in figure.texts)
