"""The plan: every cell of a benchmark, and the runs that fill it."""

from itertools import islice
from typing import Literal, Self

from finegrid.records.base import Name, Record
from finegrid.records.claims import Claims
from finegrid.records.specification import Specification


class Cell(Record):
    """Task x model x variant, with its runs, or the reason why it has none."""

    task: Name
    model: Name
    variant: Name
    method: str
    not_applicable: str | None = None
    """Why the method does not fit the model."""
    runs: dict[Name, Specification] = {}
    """Run identity -> specification, one a seed."""
    trials: dict[Name, Specification] = {}
    """Run identity -> specification of the trials that come before the runs."""


class Plan(Record):
    """What a benchmark expands to."""

    schema_version: Literal[1] = 1
    benchmark: Name
    description: str = ""
    cells: tuple[Cell, ...]
    claims: Claims | None = None

    @property
    def runs(self) -> dict[str, Specification]:
        """Every run of the plan by its identity, trials apart."""
        return {run: spec for cell in self.cells for run, spec in cell.runs.items()}

    @property
    def trials(self) -> dict[str, Specification]:
        """Every trial of the plan by its identity."""
        return {run: spec for cell in self.cells for run, spec in cell.trials.items()}

    def of_first_seeds(self, count: int) -> Self:
        """The plan with the first runs of each cell alone, and without claims."""
        cells = tuple(
            cell.model_copy(update={"runs": dict(islice(cell.runs.items(), count))})
            for cell in self.cells
        )
        return self.model_copy(update={"cells": cells, "claims": None})

    @property
    def claims_table(self) -> str | None:
        """The name of the files of the table of claims; None where there are no claims."""
        if self.claims is None:
            return None
        return self.claims.table or f"{self.benchmark}-claims"
