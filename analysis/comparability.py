"""Which results may share a table: those of one fingerprint."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.frame import COMPARABLE
from records.identity import short_hash
from records.result import Result
from records.tuning import effective

PACKAGES = ("torch", "transformers", "numpy")
GROUP = ["task", "model"]
"""Data, model and batch differ between groups by design; within one they must not."""
PART = (*GROUP, "fingerprint", "difference")
"""The columns that name a part in a table; `by_part` cuts such a table again."""

UNMEASURED = ("failed", "missing", "not-applicable")
"""States that leave no comparable figure: such a run may end before its model is known."""

_UNSHARED = {"devices": "1", "strategy": "none", "nodes": "1"}
"""What is shown of a run that several devices do not share: its record has no such key."""


@dataclass(frozen=True)
class Part:
    """Rows of one task and model that share a fingerprint."""

    task: str
    model: str
    fingerprint: str | None
    """None where no run was measured."""
    differs: dict[str, str]
    """The values here of the keys in which the group's fingerprints differ; empty if it has one."""
    rows: pd.DataFrame

    @property
    def difference(self) -> str:
        """The keys that differ with their values here, as text."""
        return ", ".join(f"{key} = {value}" for key, value in self.differs.items())

    @property
    def place(self) -> str:
        """Task and model."""
        return f"{self.task} · {self.model}"

    @property
    def title(self) -> str:
        """Task and model, with what tells the part from the others of its group."""
        return _title(self.task, self.model, self.difference)

    @property
    def identity(self) -> dict[str, str | None]:
        """The columns of `PART`."""
        values = self.task, self.model, self.fingerprint, self.difference
        return dict(zip(PART, values, strict=True))


def fingerprint_fields(result: Result) -> dict[str, str | None]:
    """What must be equal before two results are averaged or compared, as text by key."""
    provenance, training = result.provenance, effective(result).training
    machine = provenance.machine
    fields: dict[str, str | int | None] = {
        "processor": machine.processor,
        "cores": machine.cores,
        "accelerator": machine.accelerator,
        "device": provenance.device,
        "dtype": provenance.dtype,
        "threads": provenance.threads,
        "batch_size": training.batch_size,
        "micro_batch_size": result.micro_batch_size
        or training.micro_batch_size
        or training.batch_size,
        "max_length": training.max_length,
        "evaluation_batch_size": training.evaluation_batch_size,
        "data_sha256": provenance.data_sha256,
        "model_sha256": provenance.model_sha256,
        "python": ".".join(provenance.python.split(".")[:2]),
        **{package: provenance.packages.get(package) for package in PACKAGES},
    }
    if training.devices > 1:  # else as it was before runs could share devices
        fields |= {"devices": training.devices, "strategy": training.strategy}
    if training.nodes > 1:
        fields |= {"nodes": training.nodes}
    return {key: None if value is None else str(value) for key, value in fields.items()}


def fingerprint(fields: dict[str, str | None]) -> str:
    """A short hash of the fields."""
    return short_hash(fields)


def split_by_fingerprint(frame: pd.DataFrame) -> list[Part]:
    """A runs table cut into parts, each of one task, one model and one fingerprint.

    A run that was not measured joins the other seeds of its variant, so that it is counted where
    they are shown. Order and index of the rows are kept.
    """
    return [
        part
        for (task, model), group in frame.groupby(GROUP, sort=False)
        for part in _split_group(str(task), str(model), group)
    ]


def by_part(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """A table with the columns of `PART`, cut into parts, each with its title."""
    return [
        (_title(str(task), str(model), rows["difference"].iloc[0]), rows)
        for (task, model, _), rows in table.groupby(
            [*GROUP, "fingerprint"], sort=False, dropna=False
        )
    ]


def _title(task: str, model: str, difference: str) -> str:
    return f"{task} · {model}" + (f": {difference}" if difference else "")


def _split_group(task: str, model: str, group: pd.DataFrame) -> list[Part]:
    measured = group["fingerprint"].mask(group["state"].isin(UNMEASURED))
    found = list(measured.dropna().unique())
    if not found:
        return [Part(task, model, None, {}, group)]
    beside = measured.groupby(group["variant"]).transform("first")
    home = measured.fillna(beside).fillna(found[0])
    # of each fingerprint one measured row stands for all: equal hashes have equal fields
    sample = {name: group[measured == name].iloc[0] for name in found}
    keys = _differing_keys(pd.DataFrame(sample).T)
    return [
        Part(task, model, name, {key: _shown(sample[name], key) for key in keys}, rows)
        for name in found
        if len(rows := group[home == name])
    ]


def _differing_keys(samples: pd.DataFrame) -> list[str]:
    columns = [name for name in samples.columns if name.startswith(COMPARABLE)]
    return [
        name.removeprefix(COMPARABLE) for name in columns if samples[name].nunique(dropna=False) > 1
    ]


def condition(key: str, value: Any) -> str:
    """A field of the fingerprint as text, also where a run has none."""
    return _UNSHARED.get(key, "none") if pd.isna(value) else str(value)


def short_value(key: str, value: str) -> str:
    """A field's value as it stands in a note: of a hash its beginning."""
    return value[:12] if key.endswith("sha256") else value


def _shown(row: pd.Series, key: str) -> str:
    return short_value(key, condition(key, row[COMPARABLE + key]))
