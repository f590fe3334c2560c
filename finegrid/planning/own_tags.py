"""Whether the tags of a user's own files can be scored as the benchmark says, or as usual."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from finegrid.metrics.registry import METRICS, metric
from finegrid.planning.schema import TaskEntry
from finegrid.problems import refused
from kinds.registry import kind_named, with_labels
from tasks.file_rows import Survey
from tasks.file_tags import TAGS
from tasks.table_files import TableError

if TYPE_CHECKING:
    import pyarrow as pa


def check_tags(entry: TaskEntry, survey: Survey) -> None:
    """Refuse metrics that are not defined on the tags of some row. Raises TableError."""
    name = str(entry.kind)
    options = with_labels(name, entry.of_kind, survey.names)
    asked = entry.metrics or kind_named(name, options).output.metrics
    problems = {one: _problem(one, survey) for one in asked}
    wrong = next((one for one in asked if problems[one]), None)
    if wrong is None:
        return
    of_tags = [one for one in METRICS if METRICS.get(one).defined_on == TAGS]
    fit = [one for one in of_tags if not _problem(one, survey)]
    usual = "" if entry.metrics else "which such tags are scored by where metrics names none: "
    problem = f"{usual}{problems[wrong]}; allowed: {', '.join(fit)}"
    raise TableError(("metrics",), refused(wrong, problem))


def _problem(name: str, survey: Survey) -> str | None:
    """Why a metric is not defined on the tags, by what it says itself of their rows."""
    for split, rows in survey.tags.items():
        try:
            metric(name).statistics(_perfect(rows))
        except ValueError:
            return next(_problems(name, split, rows))
    return None


def _problems(name: str, split: str, rows: pa.Table) -> Iterator[str]:
    for at in range(rows.num_rows):
        try:
            metric(name).statistics(_perfect(rows.slice(at, 1)))
        except ValueError as error:
            yield f"{split}, {rows['place'][at].as_py()}: {error}"


def _perfect(rows: pa.Table) -> pa.Table:
    """Predictions without a mistake."""
    import pyarrow as pa

    return pa.table({TAGS: rows[TAGS], "predicted": rows[TAGS]})
