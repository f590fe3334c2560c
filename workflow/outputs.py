"""The tables and figures that a benchmark's plan makes, as paths. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from finegrid.metrics.registry import reads
from finegrid.records.plan import Cell, Plan
from finegrid.records.result import PREDICTIONS_FILE
from kinds.registry import kind_named
from tasks.registry import TASKS

PLOTS = (
    "score-by-parameters",
    "score-by-memory",
    "memory-by-method",
    "score-by-rank",
    "learning-curves",
    "pareto",
)
ACROSS_PLOTS = ("critical-difference", "performance-profile")
TUNING_PLOT = "tuning"
CLAIMS_PLOTS = ("claims", "gradients")
PLOT_KINDS = ("png", "svg")
RESULTS_PATTERN = r"(?!.*[^/]{201})[\w./~][\w./~ @+,=-]*(?<! )"
"""No sign that a shell, Snakemake or YAML reads as more than text, and no option's dash first."""
RESULTS_ALLOWED = (
    "allowed: the path of a folder, without braces: letters, digits, ./~_@+,=- and spaces, no "
    "other sign than ./~_ first, no space last, at most 200 a part"
)


@dataclass(frozen=True)
class Outputs:
    """The files below the folder of results that carry the benchmark's name."""

    plan: Plan
    results: str

    @property
    def plots(self) -> list[str]:
        """Every figure's files, those of the claims apart."""
        across = ACROSS_PLOTS if self._several_groups else ()
        tuning = (TUNING_PLOT,) if self._is_tuned else ()
        return self._figures((*PLOTS, *across, *tuning))

    @property
    def tables(self) -> list[str]:
        """The main table's files."""
        return [self._table(f".{kind}") for kind in ("csv", "md", "tex")]

    @property
    def evidence(self) -> list[str]:
        """The tables of how sure the differences are."""
        endings = ["pairs.csv", "pairs.md", "variance.csv", "pareto.csv"]
        if self._several_groups:
            endings += ["across-tasks.csv", "across-tasks.md"]
        return [self._table(f"-{ending}") for ending in endings]

    @property
    def tuning_table(self) -> list[str]:
        """The table of all trials, if there are any."""
        return [self._table("-tuning.csv")] if self._is_tuned else []

    @property
    def tuning_arguments(self) -> list[str]:
        """How a command is given that table."""
        return [argument for table in self.tuning_table for argument in ("--tuning-table", table)]

    @property
    def claims(self) -> list[str]:
        """The table and the figures of the claims, if there are any."""
        table = self.plan.claims_table
        if table is None:
            return []
        tables = [f"{self.results}/tables/{table}.{kind}" for kind in ("csv", "md")]
        return tables + self._figures(CLAIMS_PLOTS)

    @property
    def texts(self) -> list[str]:
        """The page of what the models wrote, if any of them writes."""
        return [self._table("-texts.md")] if self._writing else []

    @property
    def texts_arguments(self) -> list[str]:
        """How a command is given that page."""
        return [argument for page in self.texts for argument in ("--texts", page)]

    @property
    def predictions(self) -> list[str]:
        """What all the runs wrote, in full."""
        runs = (run for cell in self._writing for run in cell.runs)
        return [f"{self.results}/runs/{run}/{PREDICTIONS_FILE}" for run in runs]

    @property
    def all(self) -> list[str]:
        """Every table and figure, each once."""
        tables = [self._table("-runs.csv"), *self.tuning_table, *self.tables, *self.evidence]
        tables += self.texts
        return list(dict.fromkeys([*tables, *self.plots, *self.claims]))

    @cached_property
    def _is_tuned(self) -> bool:
        return any(cell.trials for cell in self.plan.cells)

    @cached_property
    def _writing(self) -> list[Cell]:
        """The cells whose models write texts, which a metric reads."""
        return [cell for cell in self.plan.cells if cell.runs and _writes(cell)]

    @cached_property
    def _several_groups(self) -> bool:
        """Whether runs of two or more pairs of task and model are planned."""
        return len({(cell.task, cell.model) for cell in self.plan.cells if cell.runs}) > 1

    def _table(self, ending: str) -> str:
        return f"{self.results}/tables/{self.plan.benchmark}{ending}"

    def _figures(self, names: tuple[str, ...]) -> list[str]:
        folder, name = f"{self.results}/plots", self.plan.benchmark
        return [f"{folder}/{name}-{figure}.{kind}" for figure in names for kind in PLOT_KINDS]


def _writes(cell: Cell) -> bool:
    record = next(iter(cell.runs.values())).task
    task = TASKS.build(record.task, record.options)
    return reads(task.metrics, kind_named(task.kind, task.kind_options).output.written)
