"""Plans of runs that are made in this process."""

from collections.abc import Iterable

from finegrid.records.plan import Cell, Plan
from finegrid.records.specification import Specification


def plan_of(specs: Iterable[Specification]) -> Plan:
    """A plan with a cell for each."""
    return Plan(
        benchmark="faults",
        cells=tuple(
            Cell(
                task=spec.task.name,
                model=spec.model.name,
                variant=spec.variant.name,
                method=spec.variant.method,
                runs={spec.run: spec},
            )
            for spec in specs
        ),
    )
