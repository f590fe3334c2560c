"""Which job goes first where several are ready: what others wait for, then the longest.

The longest processing time first leaves no long run for the end, when the other cores idle
(Graham 1969, Bounds on multiprocessing timing anomalies: within 4/3 of the shortest makespan).
Loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import log2

from finegrid.models.anatomy import Anatomy
from finegrid.planning.estimate import Data, operations
from finegrid.records.plan import Cell
from finegrid.records.specification import Specification
from methods.registry import METHODS

PREPARATION = 1_000_000
"""Of preparing, encoding and tuning: runs wait for them."""
FIRST_SEEDS = 2
"""Seeds of each cell that go before the others: with them every row has an interval."""
_TIER = 10_000
_STEPS_A_DOUBLING = 10


@dataclass(frozen=True)
class Priorities:
    """The priorities of the trials and runs of a plan."""

    cells: tuple[Cell, ...]
    anatomy_of: Callable[[Specification], Anatomy]
    data_of: Callable[[Specification], Data | None]
    """The size of a run's task; None before it is prepared."""
    _of_cells: dict[tuple[str, ...], float] = field(default_factory=dict)

    def of(self, run: str) -> int:
        """Of a trial or a run, for each of its threads: Snakemake adds up those of a choice.

        A trial counts as long as itself and a run of its cell, which waits for it.
        """
        cell = self._cell_of[run]
        is_trial = run in cell.trials
        spec = cell.trials[run] if is_trial else cell.runs[run]
        amount = self._of_a_run(cell) + (self._amount(spec) if is_trial else 0.0)
        is_first = is_trial or list(cell.runs).index(run) < FIRST_SEEDS
        rank = round(_STEPS_A_DOUBLING * log2(max(amount, 1.0)))
        training = spec.training
        return (rank + _TIER * is_first) * training.threads * training.devices_per_node

    @cached_property
    def _cell_of(self) -> Mapping[str, Cell]:
        return {run: cell for cell in self.cells for run in (*cell.trials, *cell.runs)}

    def _of_a_run(self, cell: Cell) -> float:
        """The operations of one of the cell's runs, reckoned once: seeds change nothing of it."""
        key = cell.task, cell.model, cell.variant
        if key not in self._of_cells:
            self._of_cells[key] = self._amount(next(iter(cell.runs.values())))
        return self._of_cells[key]

    def _amount(self, spec: Specification) -> float:
        """The operations of a trial or a run."""
        return operations(
            spec.model,
            self.anatomy_of(spec),
            spec.training,
            trains_base=METHODS.get(spec.variant.method).trains_base,
            data=self.data_of(spec),
        )
