"""Costs that are measured once a cell: by the first of its runs, and kept for the others.

Seeds change neither the memory of a step nor the latency of a model. What does is in the name of
the file: the specification without its seed, source, packages, machine, device and threads.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from finegrid.records.costs import Costs, Inference, Memory
from finegrid.records.identity import short_hash
from finegrid.records.kept import Kept
from finegrid.records.result import Provenance
from finegrid.records.specification import Specification
from finegrid.training.processes.distributed import Group

COSTS_FOLDER = "costs"
"""Beside the folder of runs."""
_WAIT_SECONDS = 0.5
"""How long a run waits for another one that measures, before it looks whether it is to end."""


@dataclass(frozen=True)
class CellCosts:
    """The costs of a cell, as one of its runs sees them."""

    run: str
    file: Path

    @classmethod
    def of(cls, run: str, spec: Specification, origin: Provenance, results: Path) -> "CellCosts":
        """Those of a run with this specification under these conditions."""
        name = f"{spec.cell}-{short_hash(_identity(spec, origin))}.json"
        return cls(run, results / COSTS_FOLDER / name)

    def keep(self, memory: Memory | None, reason: str | None, inference: Inference | None) -> None:
        """Keep what the run has measured. Raises OSError."""
        costs = Costs(run=self.run, memory=memory, memory_reason=reason, inference=inference)
        Kept[Costs].of(costs).write(self.file)

    @contextmanager
    def turn(self, group: Group, between: Callable[[], None]) -> Iterator[Costs | None]:
        """What a run of the cell has measured; None where it is this run's turn to do so.

        One run of a cell measures at a time. `between` is called while another one does. All
        processes of the run get the same. Raises what `between` raises, and OSError.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.file.with_suffix(".lock"))
        while not group.any(group.is_first and _acquired(lock)):
            between()
        try:
            found = self._read() if group.is_first else None
            plain = group.gathered(found and found.model_dump(mode="json"))[0]
            yield Costs.model_validate_json(json.dumps(plain)) if plain else None
        finally:
            lock.release()

    def _read(self) -> Costs | None:
        """What is kept; None where nothing is, or nothing that is as it was written."""
        try:
            return Kept[Costs].read(self.file).content
        except (OSError, ValidationError):
            return None


def _identity(spec: Specification, origin: Provenance) -> dict[str, Any]:
    """All that decides the costs of a cell."""
    machine = origin.machine
    return {
        "spec": spec.model_dump(mode="json", exclude={"seed"}),
        "source": origin.source_digest,
        "packages": origin.packages,
        "python": origin.python,
        "machine": [machine.processor, machine.cores, machine.accelerator],
        "device": origin.device,
        "threads": origin.threads,
    }


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=_WAIT_SECONDS)
    except Timeout:
        return False
    return True
