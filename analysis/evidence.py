"""The tables of how sure a benchmark's differences are.

python -m analysis.evidence --runs-table FILE.csv --runs DIR --output-stem STEM
"""

import argparse
from pathlib import Path

import pandas as pd

from analysis.comparisons.across import across_markdown, across_rows, common, has_several_groups
from analysis.comparisons.pairs import pair_markdown, pair_rows
from analysis.comparisons.pareto import pareto_rows
from analysis.comparisons.variance import variance_rows
from analysis.errors import one_line_errors
from analysis.frame import read_runs, write_table
from finegrid.records.write import write_text


def evidence_files(stem: Path, several_groups: bool) -> list[Path]:
    """The files that `write_evidence` writes."""
    endings = ["pairs.csv", "pairs.md", "variance.csv", "pareto.csv"]
    if several_groups:
        endings += ["across-tasks.csv", "across-tasks.md"]
    return [_file(stem, ending) for ending in endings]


def write_evidence(frame: pd.DataFrame, runs: Path, stem: Path) -> None:
    """Write the tables of pairs, of variance, of Pareto fronts and, of several groups, across them.

    `runs` is the folder of all runs, with their predictions. The same runs table and predictions
    give the same bytes. Raises AnalysisError or OSError.
    """
    pairs = pair_rows(frame, runs)
    write_table(pairs, _file(stem, "pairs.csv"))
    write_text(_file(stem, "pairs.md"), pair_markdown(frame, pairs))
    write_table(variance_rows(frame, runs), _file(stem, "variance.csv"))
    write_table(pareto_rows(frame, runs), _file(stem, "pareto.csv"))
    if has_several_groups(frame):
        shared = common(frame)
        rows = across_rows(shared)
        write_table(rows, _file(stem, "across-tasks.csv"))
        write_text(_file(stem, "across-tasks.md"), across_markdown(frame, shared, rows))


def _file(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}-{ending}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="analysis.evidence", description=__doc__)
    parser.add_argument("--runs-table", type=Path, required=True, help="CSV of analysis.collect")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--output-stem", type=Path, required=True, help="of the main table")
    arguments = parser.parse_args()
    with one_line_errors():
        frame = read_runs(arguments.runs_table)
        write_evidence(frame, arguments.runs, arguments.output_stem)


if __name__ == "__main__":
    main()
