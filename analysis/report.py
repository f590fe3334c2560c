"""One HTML file that shows a benchmark whole, each number with a link to its runs.

    python -m analysis.report --plan FILE --runs-table FILE.csv --tables-stem STEM --plots DIR \\
        --runs DIR --prepared DIR --output FILE.html
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

from analysis.budget import trials_text
from analysis.cells import table_rows
from analysis.columns import COLUMNS, HEADERS, Column
from analysis.comparability import split_by_fingerprint
from analysis.comparisons.across import has_several_groups
from analysis.errors import AnalysisError, one_line_errors
from analysis.evidence import evidence_files
from analysis.figures.captions import Caption, captions
from analysis.frame import TUNED, present, read_pairs, read_runs, read_trials
from analysis.notes import coverage, notes, part_conditions
from analysis.quantities import NONE, TRIVIAL, count_text, percent_text, plain_score
from analysis.reading import read_record
from analysis.summary import CELL
from finegrid.records.identity import canonical_json
from finegrid.records.place import record_file
from finegrid.records.plan import Plan
from finegrid.records.prepared import MANIFEST_FILE, Overlap, PreparedTask
from finegrid.records.write import write_text

TEMPLATE = "report.html.j2"
TABLE_ENDINGS = ("csv", "md", "tex")


@dataclass(frozen=True)
class Places:
    """The files that a report shows or links to, and the report itself."""

    tables_stem: Path
    plots: Path
    runs: Path
    prepared: Path
    output: Path
    texts: Path | None = None
    """The page of what the models wrote, if any did."""

    def link(self, path: Path) -> str:
        """The relative address of a file. Raises AnalysisError where it does not exist."""
        if not path.exists():
            raise AnalysisError(f"{path}: the report links to it, and it does not exist")
        return quote(Path(os.path.relpath(path, self.output.parent)).as_posix())

    def record(self, run: str) -> str | None:
        """The relative address of a run's record, or None where it has none."""
        path = record_file(self.runs, run)
        return None if path is None else self.link(path)


def render(
    plan: Plan, frame: pd.DataFrame, places: Places, trials: pd.DataFrame | None = None
) -> str:
    """The HTML of a benchmark's report, all but the linked records, tables and manifests inside.

    Raises AnalysisError where a linked file is missing, OSError where a figure or manifest is.
    """
    summary = table_rows(frame, _pairs(places))
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
        coverage=coverage(frame),
        downloads=_downloads(places),
        evidence=_evidence(frame, places),
        texts=None if places.texts is None else places.link(places.texts),
        variants=variant_lines(plan),
        headers=HEADERS,
        rows=_rows(frame, summary, places),
        notes=notes(frame, summary),
        figures=[_figure(plan.benchmark, places.plots, one) for one in captions(frame, trials)],
        tuning=None if trials is None else _tuning(trials, places),
        gaps=_gaps(frame, places),
        shared=_shared(plan, frame, places),
        provenance=_provenance(frame),
    )


def _pairs(places: Places) -> pd.DataFrame:
    path = places.tables_stem.with_name(f"{places.tables_stem.name}-pairs.csv")
    places.link(path)  # raises where it is not there
    return read_pairs(path)


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


def _evidence(frame: pd.DataFrame, places: Places) -> list[tuple[str, str]]:
    """The tables of how sure the differences are."""
    stem = places.tables_stem
    files = evidence_files(stem, has_several_groups(frame))
    return [(path.name.removeprefix(f"{stem.name}-"), places.link(path)) for path in files]


def variant_lines(plan: Plan) -> list[tuple[str, str, str]]:
    """Name, method and settings of every variant, in the order of the plan.

    One whose settings depend on the task or the model has a line of each.
    """
    found: dict[str, dict[tuple[str, str, str], None]] = {}
    for cell in plan.cells:
        lines = found.setdefault(cell.variant, {})
        for spec in cell.runs.values():
            lines[cell.variant, cell.method, canonical_json(spec.variant.settings)] = None
    unrun = {cell.variant: (cell.variant, cell.method, "") for cell in plan.cells}
    return [line for name, lines in found.items() for line in (lines or [unrun[name]])]


def _rows(frame: pd.DataFrame, summary: pd.DataFrame, places: Places) -> list[list[dict[str, Any]]]:
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
        for _, row in summary.iterrows()
    ]


def _seeds(
    column: Column, row: pd.Series, runs: pd.DataFrame, places: Places
) -> list[tuple[str, str]]:
    """Text and link of each run whose value the number is made of."""
    measure = column.measure
    if row["method"] == TRIVIAL:  # of it every run of the group holds the same score
        measure = {"test_score": "trivial_score", "n_test": "n_test"}.get(str(measure))
    if measure is None:
        return []
    # a mean is of the ok runs; a constant holds for every run with a record
    averaged = f"{measure}_n" in row
    counted = runs[runs["state"] == "ok"] if averaged else runs[runs["state"] != "missing"]
    values = present(counted, measure)
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


def _figure(benchmark: str, plots: Path, caption: Caption) -> dict[str, str]:
    image = (plots / f"{benchmark}-{caption.name}.svg").read_bytes()
    address = "data:image/svg+xml;base64," + base64.b64encode(image).decode()
    return {"title": caption.title, "caption": caption.text, "address": address}


def _gaps(frame: pd.DataFrame, places: Places) -> list[dict[str, Any]]:
    """Every run and cell that is not ok, with its reason."""
    rows = frame[frame["state"] != "ok"]
    return [
        {
            "cell": (row["task"], row["model"], row["variant"]),
            "seed": NONE if pd.isna(row["seed"]) else row["seed"],
            "state": row["state"].replace("-", " "),
            "reason": NONE if pd.isna(row["reason"]) else row["reason"],
            "link": None if pd.isna(row["run"]) else places.record(row["run"]),
        }
        for _, row in rows.iterrows()
    ]


def _tuning(trials: pd.DataFrame, places: Places) -> list[dict[str, Any]]:
    """Every tuned cell with what was spent, what was chosen, and each trial with its record."""
    return [
        {
            "cell": cell,
            "spent": trials_text(len(rows)),
            "grown": int(rows["grown"].sum()),
            "chosen": ", ".join(_values(row) for _, row in rows[rows["chosen"]].iterrows()) or NONE,
            "edge": ", ".join(present(rows, "edge")) or "no",
            "trials": [_trial(row, places) for _, row in rows.iterrows()],
        }
        for cell, rows in trials.groupby(CELL, sort=False)
    ]


def _trial(row: pd.Series, places: Places) -> tuple[str, str | None]:
    """Text and link of a trial."""
    score = row["score"]
    outcome = row["state"] if pd.isna(score) else f"{plain_score(score)} ({row['metric']})"
    return f"{_values(row)}: {outcome}", places.record(row["run"])


def _values(row: pd.Series) -> str:
    """The tuned values of a trial."""
    return ", ".join(
        f"{str(name).removeprefix(TUNED)} {value}"
        for name, value in row.items()
        if str(name).startswith(TUNED) and not pd.isna(value)
    )


def _shared(plan: Plan, frame: pd.DataFrame, places: Places) -> list[dict[str, Any]]:
    """What the splits of each task with a record share, and what that means for its inputs."""
    recorded = present(frame[frame["state"] != "missing"], "run")
    keys = {plan.runs[run].task.key: None for run in recorded}
    files = [places.prepared / "tasks" / key / MANIFEST_FILE for key in keys]
    return [
        {
            "task": manifest.spec.name,
            "link": places.link(file),
            "definitions": list(dict.fromkeys(one.definition for one in manifest.overlaps)),
            "rows": [_shared_row(one) for one in manifest.overlaps],
        }
        for file in files
        for manifest in [read_record(PreparedTask, file)]
    ]


def _shared_row(overlap: Overlap) -> dict[str, str]:
    """The overlap of two splits; an example is its id, the other's, and their similarity."""
    pairs = [f"{one.second} ~ {one.first} ({one.similarity})" for one in overlap.examples]
    return {
        "splits": f"{overlap.second} in {overlap.first}",
        "exact": count_text(overlap.exact),
        "near": count_text(overlap.near),
        "share": f"{percent_text(100 * overlap.fraction)} of {overlap.second}",
        "examples": ", ".join(pairs) or NONE,
    }


def _provenance(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """What each task and model was measured on, one entry a fingerprint."""
    return [
        {
            "title": part.place,
            "fields": {
                "fingerprint": part.fingerprint,
                **part_conditions(part),
                "system": _found(part.rows, "system"),
                "commit": _found(part.rows, "git_commit"),
                "uncommitted changes": _found(part.rows, "git_dirty"),
                "first run started": min(present(part.rows, "started_at")),
                "last run started": max(present(part.rows, "started_at")),
                "validation items": _found(part.rows, "n_validation"),
                "test items": _found(part.rows, "n_test"),
                "learning rates": _found(part.rows, "learning_rate"),
            },
        }
        for part in split_by_fingerprint(frame)
        if part.fingerprint
    ]


def _found(rows: pd.DataFrame, name: str) -> str:
    return ", ".join(str(value) for value in present(rows, name).unique()) or NONE


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="analysis.report", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--runs-table", type=Path, required=True, help="CSV of analysis.collect")
    parser.add_argument("--tuning-table", type=Path, help="CSV of all trials, if there are any")
    parser.add_argument("--texts", type=Path, help="what the models wrote, if any did")
    parser.add_argument("--tables-stem", type=Path, required=True, help="of analysis.tables")
    parser.add_argument("--plots", type=Path, required=True, help="the folder of the figures")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--prepared", type=Path, required=True, help="the folder of all tasks")
    parser.add_argument("--output", type=Path, required=True, help="the report, HTML")
    arguments = parser.parse_args()
    places = Places(
        arguments.tables_stem,
        arguments.plots,
        arguments.runs,
        arguments.prepared,
        arguments.output,
        arguments.texts,
    )
    with one_line_errors():
        plan = read_record(Plan, arguments.plan)
        frame = read_runs(arguments.runs_table)
        trials = read_trials(arguments.tuning_table) if arguments.tuning_table else None
        write_text(arguments.output, render(plan, frame, places, trials))


if __name__ == "__main__":
    main()
