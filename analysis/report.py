"""One HTML file that shows a benchmark whole, each number with a link to its runs.

    python -m analysis.report --plan FILE --runs-table FILE.csv --tables-stem STEM --plots DIR \\
        --runs DIR --output FILE.html
"""

import argparse
import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.collect import read_record, record_file
from analysis.columns import COLUMNS, HEADERS, Column
from analysis.comparability import split_by_fingerprint
from analysis.errors import AnalysisError, one_line_errors
from analysis.frame import present, read_runs
from analysis.notes import notes, part_conditions
from analysis.plots import FIGURES, FigureKind
from analysis.quantities import NONE
from analysis.summary import summarise
from records.identity import canonical_json
from records.plan import Plan
from records.write import write_text

TEMPLATE = "report.html.j2"
TABLE_ENDINGS = ("csv", "md", "tex")


@dataclass(frozen=True)
class Places:
    """The files that a report shows or links to, and the report itself."""

    tables_stem: Path
    plots: Path
    runs: Path
    output: Path

    def link(self, path: Path) -> str:
        """The relative address of a file. Raises AnalysisError where it does not exist."""
        if not path.exists():
            raise AnalysisError(f"{path}: the report links to it, and it does not exist")
        return quote(Path(os.path.relpath(path, self.output.parent)).as_posix())

    def record(self, run: str) -> str | None:
        """The relative address of a run's record, or None where it has none."""
        path = record_file(self.runs, run)
        return None if path is None else self.link(path)


def render(plan: Plan, frame: pd.DataFrame, places: Places) -> str:
    """The HTML of a benchmark's report, all but the linked records and tables inside.

    Raises AnalysisError where a linked file is missing, and OSError where a figure is.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        plan=plan,
        counts=_counts(plan, frame),
        downloads=_downloads(places),
        variants=_variants(plan),
        headers=HEADERS,
        rows=_rows(frame, places),
        notes=notes(frame),
        figures=[_figure(plan.benchmark, places.plots, kind) for kind in FIGURES],
        gaps=_gaps(frame, places),
        provenance=_provenance(frame),
    )


def _counts(plan: Plan, frame: pd.DataFrame) -> dict[str, int]:
    return {
        "tasks": len({cell.task for cell in plan.cells}),
        "models": len({cell.model for cell in plan.cells}),
        "variants": len({cell.variant for cell in plan.cells}),
        "runs planned": len(plan.runs),
        "runs ok": int((frame["state"] == "ok").sum()),
    }


def _downloads(places: Places) -> list[tuple[str, str]]:
    stem = places.tables_stem
    return [
        (ending, places.link(stem.with_name(f"{stem.name}.{ending}"))) for ending in TABLE_ENDINGS
    ]


def _variants(plan: Plan) -> list[tuple[str, str, str]]:
    """Name, method and settings of every variant, in the order of the plan."""
    found = {cell.variant: (cell.variant, cell.method, "") for cell in plan.cells}
    for spec in plan.runs.values():
        variant = spec.variant
        found[variant.name] = (variant.name, variant.method, canonical_json(variant.settings))
    return list(found.values())


def _rows(frame: pd.DataFrame, places: Places) -> list[list[dict[str, Any]]]:
    """The main table: every cell with its text and the values and links of its runs."""
    runs = frame.dropna(subset="run").set_index("run")
    return [
        [
            {
                "text": column.text(row),
                "number": column.measure is not None,
                "seeds": _seeds(column, row, runs.loc[row["runs"].split()], places),
            }
            for column in COLUMNS
        ]
        for _, row in summarise(frame).iterrows()
    ]


def _seeds(
    column: Column, row: pd.Series, runs: pd.DataFrame, places: Places
) -> list[tuple[str, str]]:
    """Text and link of each run whose value the number is made of."""
    if column.measure is None:
        return []
    # a mean is of the ok runs; a count holds for every run that has one
    counted = runs[runs["state"] == "ok"] if f"{column.measure}_n" in row else runs
    values = present(counted, column.measure)
    seeds = counted.loc[values.index, "seed"]
    return [
        (f"seed {seed}: {column.unit(value)}", _measured(str(run), places))
        for (run, value), seed in zip(values.items(), seeds, strict=True)
    ]


def _measured(run: str, places: Places) -> str:
    link = places.record(run)
    if link is None:
        raise AnalysisError(f"{places.runs / run}: the runs table has this run, the folder has not")
    return link


def _figure(benchmark: str, plots: Path, kind: FigureKind) -> dict[str, str]:
    image = (plots / f"{benchmark}-{kind.name}.svg").read_bytes()
    address = "data:image/svg+xml;base64," + base64.b64encode(image).decode()
    return {"title": kind.title, "caption": kind.caption, "address": address}


def _gaps(frame: pd.DataFrame, places: Places) -> list[dict[str, Any]]:
    """Every run and cell that is not ok, with its reason."""
    rows = frame[frame["state"] != "ok"]
    return [
        {
            "cell": (row["task"], row["model"], row["variant"]),
            "seed": NONE if pd.isna(row["seed"]) else row["seed"],
            "state": row["state"],
            "reason": NONE if pd.isna(row["reason"]) else row["reason"],
            "link": None if pd.isna(row["run"]) else places.record(row["run"]),
        }
        for _, row in rows.iterrows()
    ]


def _provenance(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """What each task and model was measured on, one entry a fingerprint."""
    return [
        {
            "title": f"{part.task} · {part.model}",
            "fields": {
                "fingerprint": part.fingerprint,
                **part_conditions(part),
                "system": _values(part.rows, "system"),
                "commit": _values(part.rows, "git_commit"),
                "uncommitted changes": _values(part.rows, "git_dirty"),
                "first run started": min(present(part.rows, "started_at")),
                "last run started": max(present(part.rows, "started_at")),
                "validation items": _values(part.rows, "n_validation"),
                "test items": _values(part.rows, "n_test"),
                "learning rates": _values(part.rows, "learning_rate"),
            },
        }
        for part in split_by_fingerprint(frame)
        if part.fingerprint
    ]


def _values(rows: pd.DataFrame, name: str) -> str:
    return ", ".join(str(value) for value in present(rows, name).unique()) or NONE


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="analysis.report", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--runs-table", type=Path, required=True, help="CSV of analysis.collect")
    parser.add_argument("--tables-stem", type=Path, required=True, help="of analysis.tables")
    parser.add_argument("--plots", type=Path, required=True, help="the folder of the figures")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--output", type=Path, required=True, help="the report, HTML")
    arguments = parser.parse_args()
    places = Places(arguments.tables_stem, arguments.plots, arguments.runs, arguments.output)
    with one_line_errors():
        plan = read_record(Plan, arguments.plan)
        write_text(arguments.output, render(plan, read_runs(arguments.runs_table), places))


if __name__ == "__main__":
    main()
