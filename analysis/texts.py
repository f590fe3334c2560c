"""A few test examples, each with what is right and with what the model of each variant wrote.

    python -m analysis.texts --plan FILE --runs-table FILE.csv --runs DIR --prepared DIR \\
        --output FILE.md
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.comparability import GROUP
from analysis.errors import AnalysisError, one_line_errors
from analysis.frame import read_runs
from analysis.markdown import bullets, fenced
from analysis.metric import metric_named
from analysis.quantities import plain_score
from analysis.reading import check_files, read_record
from finegrid.metrics.contract import WeightedMetric
from finegrid.records.plan import Plan
from finegrid.records.result import PREDICTIONS_FILE, RESULT_FILE, Result
from finegrid.records.write import write_text

EXAMPLES = 12
"""Shown of each task and model, as far as its test split has so many."""
LONGEST = 600
"""Characters that are shown of a text."""
RIGHT = "right"
NOTES = (
    f"The examples are {EXAMPLES} of the test split at even distances in its order, or all of a "
    "smaller one: nobody chose them.",
    "Each variant stands there with its run of the first seed that ended ok. The number before a "
    "text is the score of that text alone; the benchmark's tables hold the score of all.",
    f"[...]: the text is longer than the {LONGEST} characters that are shown. [cut]: it ended at "
    "max_new_tokens.",
)


def page(plan: Plan, frame: pd.DataFrame, runs: Path, prepared: Path) -> str:
    """The examples of every task and model whose runs wrote texts, as Markdown.

    Raises AnalysisError where predictions are damaged or hold other examples than the task's
    prepared test split in the folder `prepared`, and OSError where that is not there.
    """
    lines = [f"# {plan.benchmark}: what the models wrote"]
    for (task, model), rows in frame[frame["state"] == "ok"].groupby(GROUP, sort=False):
        chosen = rows.drop_duplicates("variant").set_index("variant")
        texts = {
            str(variant): said
            for variant, run in chosen["run"].items()
            if (said := _texts(runs / str(run))) is not None
        }
        if texts:
            key = plan.runs[chosen["run"].iloc[0]].task.key
            name, test = str(chosen["metric"].iloc[0]), prepared / "tasks" / key / "test.parquet"
            shown = _examples(texts, test, metric_named(name))
            lines += [f"## {task} · {model}", f"Scores: {name}.", *shown]
    return "\n\n".join([*lines, bullets(NOTES)]) + "\n"


def _texts(folder: Path) -> pa.Table | None:
    """The test examples among a run's predictions, or None where the model wrote none of them."""
    path = folder / PREDICTIONS_FILE
    if not path.exists() or "text" not in pq.read_schema(path).names:
        return None
    check_files(read_record(Result, folder / RESULT_FILE), folder / RESULT_FILE)
    table = pq.read_table(path)
    test = table.filter(pc.equal(table["split"], "test"))
    return None if test["text"].null_count else test


def _examples(
    texts: Mapping[str, pa.Table], prepared: Path, metric: WeightedMetric
) -> Iterator[str]:
    """A heading, the input and a block of texts for each example that is shown."""
    rows = pq.read_table(prepared).to_pylist()
    places = {variant: _places(table) for variant, table in texts.items()}
    scores = {variant: _scores(table, metric) for variant, table in texts.items()}
    for row in (rows[at] for at in evenly_spaced(len(rows), EXAMPLES)):
        said = {RIGHT: _shortened(_right(row["target"]))}
        for variant, table in texts.items():
            if (at := places[variant].get(row["id"])) is None:
                raise AnalysisError(f"{variant}: its {PREDICTIONS_FILE} lacks {row['id']}")
            said[variant] = f"{scores[variant][at]:>6}  {_written(table.slice(at, 1))}"
        yield f"### {row['id']}"
        yield fenced(_input(row))
        yield fenced(_aligned(said))


def evenly_spaced(length: int, count: int) -> list[int]:
    """So many places of a list of that length, all of them in a shorter one, from first to last."""
    if count >= length:
        return list(range(length))
    return [at * (length - 1) // (count - 1) for at in range(count)]


def _places(table: pa.Table) -> dict[str, int]:
    return {one: at for at, one in enumerate(table["id"].to_pylist())}


def _scores(table: pa.Table, metric: WeightedMetric) -> list[str]:
    """The score of each text alone."""
    statistics = metric.statistics(table)
    alone = (metric.score(statistics[at : at + 1]) for at in range(len(statistics)))
    return [plain_score(float(score)) for score in alone]


def _written(row: pa.Table) -> str:
    cut = " [cut]" if row["end"][0].as_py() == "length" else ""
    return _shortened(row["text"][0].as_py()) + cut


def _right(target: Any) -> str:
    return "\nor\n".join(target) if isinstance(target, list) else str(target)


def _input(row: Mapping[str, Any]) -> str:
    """All that the model was given of an example."""
    given = [value for name, value in row.items() if name not in ("id", "target")]
    return "\n".join(_shortened(str(value)) for value in given if value is not None)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} [...]"


def _aligned(said: Mapping[str, str]) -> str:
    """The texts below each other behind their names, further lines of one below its first."""
    width = max(map(len, said)) + 2
    hanging = "\n" + " " * width
    # A text may hold whatever Unicode ends a line with; a tab or a return stays in its line.
    lines = {name: re.sub(r"\r?\n(?=.)", hanging, text) for name, text in said.items()}
    return "\n".join(f"{name:<{width}}{text}" for name, text in lines.items())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="analysis.texts", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--runs-table", type=Path, required=True, help="CSV of analysis.collect")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--prepared", type=Path, required=True, help="the folder of all tasks")
    parser.add_argument("--output", type=Path, required=True, help="the page, Markdown")
    arguments = parser.parse_args()
    with one_line_errors():
        plan, frame = read_record(Plan, arguments.plan), read_runs(arguments.runs_table)
        text = page(plan, frame, arguments.runs, arguments.prepared)
        write_text(arguments.output, text)


if __name__ == "__main__":
    main()
