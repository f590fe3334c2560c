"""The claims of a benchmark, decided from its runs: a page, a table and two figures.

    python -m analysis.claims.command --plan FILE --runs-table FILE.csv --runs DIR \\
        --output-stem STEM --plots DIR
"""

import argparse
from pathlib import Path

from analysis.claims.evidence import Evidence
from analysis.claims.page import page
from analysis.claims.plots import write_claim_plots
from analysis.claims.verdicts import claims_frame
from analysis.errors import AnalysisError, one_line_errors
from analysis.frame import read_runs, write_table
from analysis.reading import read_record
from finegrid.records.plan import Plan
from finegrid.records.write import write_text


def write_claims(evidence: Evidence, stem: Path, plots: Path) -> None:
    """Write `<stem>.csv`, `<stem>.md` and the figures of the claims of a plan, atomically.

    Raises AnalysisError where the plan has no claims or a record is broken, and OSError.
    """
    plan = evidence.plan
    if plan.claims is None:
        raise AnalysisError(f"the plan of {plan.benchmark} has no claims")
    claims = plan.claims.hypotheses
    rows = claims_frame(claims, evidence)
    write_table(rows, stem.with_name(f"{stem.name}.csv"))
    write_text(stem.with_name(f"{stem.name}.md"), page(plan.benchmark, claims, rows, evidence))
    write_claim_plots(rows, claims, evidence, plots)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="analysis.claims.command", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--runs-table", type=Path, required=True, help="CSV of analysis.collect")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--output-stem", type=Path, required=True, help="path without its ending")
    parser.add_argument("--plots", type=Path, required=True, help="the folder of the figures")
    arguments = parser.parse_args()
    with one_line_errors():
        plan, frame = read_record(Plan, arguments.plan), read_runs(arguments.runs_table)
        evidence = Evidence(plan, frame, arguments.runs)
        write_claims(evidence, arguments.output_stem, arguments.plots)


if __name__ == "__main__":
    main()
