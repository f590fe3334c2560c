"""Anchor cells: the few of a results folder whose runs are made again to look for drift."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.reading import read_record
from finegrid.records.identity import short_hash
from finegrid.records.plan import Plan
from finegrid.records.registry import unknown_name
from finegrid.records.result import RESULT_FILE, Result

RULE = (
    "the cheapest in training seconds, all seeds together; a task and model that is not among "
    "them yet goes first, then a method that is not"
)
"""How `choose` chooses."""


@dataclass(frozen=True)
class Anchor:
    """A cell with its finished runs, in the order of their seeds."""

    name: str
    runs: tuple[Result, ...]

    @property
    def train_seconds(self) -> float | None:
        """Seconds of training, all seeds together; None where a record holds no time."""
        times = [one.time.train_seconds for one in self.runs if one.time]
        return sum(times) if len(times) == len(self.runs) else None

    @property
    def cell(self) -> str:
        """task-model-variant, which cells of two benchmarks may share."""
        return self.runs[0].spec.cell

    @property
    def setting(self) -> tuple[str, str]:
        """Task and model."""
        spec = self.runs[0].spec
        return spec.task.name, spec.model.name

    @property
    def method(self) -> str:
        """The method of the variant."""
        return self.runs[0].spec.variant.method


def read_anchors(results: Path, benchmark: str | None = None) -> list[Anchor]:
    """The cells of a results folder with their runs that ended ok, trials left out.

    With `benchmark` only the runs of its plan. Cells of one name and another specification are
    told apart by the hash of theirs. Raises AnalysisError where nothing is found or a record is
    invalid, and OSError.
    """
    folder = results / "runs"
    if not folder.is_dir():
        raise AnalysisError(f"{results}: no results, it has no folder 'runs'")
    planned = None if benchmark is None else _plan(results, benchmark).runs
    files = (path / RESULT_FILE for path in sorted(folder.iterdir()))
    names = (path for path in files if planned is None or path.parent.name in planned)
    found = [read_record(Result, path) for path in names if path.exists()]
    anchors = _cells(one for one in found if one.spec.role == "run" and one.state == "ok")
    if not anchors:
        which = f" of {benchmark}" if benchmark else ""
        raise AnalysisError(f"{folder}: no run{which} ended ok, so there is nothing to make again")
    return anchors


def choose(anchors: Sequence[Anchor], count: int) -> list[Anchor]:
    """At most `count` anchors by the `RULE`, the same ones at every call."""
    left, chosen = sorted(anchors, key=lambda one: one.name), list[Anchor]()
    while left and len(chosen) < count:
        best = min(left, key=lambda one: (*_covered(one, chosen), *_cost(one)))
        left.remove(best)
        chosen.append(best)
    return chosen


def named(anchors: Sequence[Anchor], names: Sequence[str]) -> list[Anchor]:
    """The anchors of these names. Raises AnalysisError for a cell that is not there."""
    known = sorted({name for one in anchors for name in (one.name, one.cell)})
    for name in names:
        if name not in known:
            raise AnalysisError(unknown_name("cell", name, known))
    return [one for one in anchors if {one.name, one.cell} & set(names)]


def _plan(results: Path, benchmark: str) -> Plan:
    path = results / "plans" / f"{benchmark}.json"
    if not path.exists():
        known = [file.stem for file in path.parent.glob("*.json")]
        raise AnalysisError(unknown_name(f"benchmark of {results}", benchmark, known))
    return read_record(Plan, path)


def _cells(results: Iterable[Result]) -> list[Anchor]:
    cells: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        seedless = result.spec.model_copy(update={"seed": 0})
        cells[result.spec.cell, short_hash(seedless)].append(result)
    shared = Counter(cell for cell, _ in cells)
    return [
        Anchor(
            f"{cell}-{short}" if shared[cell] > 1 else cell,
            tuple(sorted(runs, key=lambda one: one.spec.seed)),
        )
        for (cell, short), runs in sorted(cells.items())
    ]


def _covered(one: Anchor, chosen: Sequence[Anchor]) -> tuple[int, int, int]:
    """How often what a cell stands for was chosen already."""
    return (
        sum(one.setting == other.setting and one.method == other.method for other in chosen),
        sum(one.setting == other.setting for other in chosen),
        sum(one.method == other.method for other in chosen),
    )


def _cost(one: Anchor) -> tuple[bool, float]:
    """Cells without a time come last."""
    return one.train_seconds is None, one.train_seconds or 0.0
