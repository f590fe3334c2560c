"""What the claims are tested on: the plan, the runs table and the records of one benchmark."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.reading import read_record
from finegrid.records.claims import TrendTest
from finegrid.records.place import record_file
from finegrid.records.plan import Plan
from finegrid.records.result import Gradients, Result


@dataclass(frozen=True)
class Evidence:
    """The runs of a benchmark: the plan, the runs table and the folder of all runs."""

    plan: Plan
    frame: pd.DataFrame
    runs: Path

    def rows(self, model: str, tasks: Iterable[str], variants: Iterable[str]) -> pd.DataFrame:
        """The planned runs of these cells."""
        frame = self.frame
        chosen = frame["task"].isin(tasks) & frame["variant"].isin(variants)
        return frame[chosen & (frame["model"] == model)]

    def number(self, test: TrendTest, task: str, variant: str) -> float:
        """The option of a task, or the setting of a variant there, that a trend follows.

        Variants of one name may have other settings on another task or model.
        """
        room, _, key = test.along.partition(".")
        specs = [spec for spec in self.plan.runs.values() if spec.task.name == task]
        if room == "options":
            return float(str(specs[0].task.options[key]))
        here = (one for one in specs if one.model.name == test.model)
        found = next(one.variant for one in here if one.variant.name == variant)
        return float(str(found.settings[key]))

    def gradients(self, run: str) -> Gradients | None:
        """The gradient norms in the record of a run."""
        return getattr(self._record(run), "gradients", None)

    def rounds(self, run: str, measure: str) -> tuple[float, ...]:
        """The rounds of a ratio to the plain base model; none in a record from before."""
        inference = getattr(self._record(run), "inference", None)
        ratios = measure.removeprefix("inference_").replace("_to_base", "_ratios")
        return getattr(inference, ratios, ())

    def _record(self, run: str) -> Result | None:
        path = record_file(self.runs, run)
        return None if path is None else read_record(Result, path)

    def recorded_gradients(self, rows: pd.DataFrame) -> list[Gradients]:
        """The gradient norms of the ok runs that have them."""
        found = [self.gradients(run) for _, run in ok_runs(rows)]
        return [norms for norms in found if norms is not None]


def layer_names(norms: Iterable[Gradients]) -> list[str]:
    """Every layer, in the order of the model."""
    return list(dict.fromkeys(layer for one in norms for layer in one.layers))


def ok_runs(rows: pd.DataFrame) -> list[tuple[int, str]]:
    """The seeds and names of the runs that ended ok."""
    ok = rows[rows["state"] == "ok"]
    return [(int(seed), str(run)) for seed, run in zip(ok["seed"], ok["run"], strict=True)]
