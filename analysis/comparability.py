"""Which results compare: by their scores those of one fingerprint, by their costs those that agree
in the machine and the batches, too."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.frame import COMPARABLE, CONDITION, LIBRARY
from finegrid.records.identity import short_hash
from finegrid.records.result import Result
from finegrid.records.tuning import effective

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "evaluate")
"""Those of every run whose version may move its scores."""
BESIDE = ("datasets", "safetensors", "wandb", "pydantic", "snakemake")
"""The others of every run. What a record names beyond both, its method or its task brought."""
GROUP = ["task", "model"]
"""Data and model differ between groups by design; within one they must not."""
PART = (*GROUP, "fingerprint", "difference")
"""The columns that name a part in a table; `by_part` cuts such a table again."""

UNMEASURED = ("failed", "missing", "not-applicable")
"""States that leave no comparable figure: such a run may end before its model is known."""

_WITHOUT = {
    **{"devices": "1", "strategy": "none", "nodes": "1"},
    **{"runs_per_device": "1", "weights": "fp32", "dropout_scope": "all"},
}
"""What is shown of a run that has no such key, which is named where it is not this."""


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


Fields = dict[str, str | None]
"""A condition -> its value, as text."""


def fingerprint_fields(result: Result) -> Fields:
    """What must be equal before two scores are averaged or compared.

    Batches are part of a variant's recipe and are not in it; neither is `evaluation_batch_size`,
    on which no prediction depends. How often validation is scored, and which state is kept, are:
    they decide how much is selected.
    """
    provenance, training = result.provenance, effective(result).training
    # nothing that is usual
    unusual = training.model_dump(include={"weights", "double_quantisation", "dropout_scope"})
    return _texts(
        {
            "dtype": provenance.dtype,
            **unusual,
            "max_length": training.max_length,
            "evaluations": training.evaluations,
            "checkpoint": training.checkpoint,
            "data_sha256": provenance.data_sha256,
            "model_sha256": provenance.model_sha256,
            "python": ".".join(provenance.python.split(".")[:2]),
            **{package: provenance.packages.get(package) for package in PACKAGES},
        }
    )


def libraries(result: Result) -> Fields:
    """The packages that the run's method and its task come from, with their versions.

    Two runs that both use one must agree in its version; one that does not use it compares with
    either.
    """
    known = (*PACKAGES, *BESIDE)
    return {name: one for name, one in result.provenance.packages.items() if name not in known}


def cost_fields(result: Result) -> Fields:
    """What must be equal, beside the conditions of the score, before memory or time is compared."""
    provenance, training = result.provenance, effective(result).training
    machine = provenance.machine
    size = result.micro_batch_size or training.micro_batch_size
    units = result.micro_batch_units or training.micro_batch_units
    fields: dict[str, str | int | None] = {
        "processor": machine.processor,
        "cores": machine.cores,
        "accelerator": machine.accelerator,
        "device": provenance.device,
        "threads": provenance.threads,
        "batch_size": training.batch_size,
        "micro_batch_size": None if units else size or training.batch_size,
        "evaluation_batch_size": training.evaluation_batch_size,
    }
    if units:
        fields["micro_batch_units"] = units
    if training.devices > 1:  # else as it was before runs could share devices
        fields |= {"devices": training.devices, "strategy": training.strategy}
    if training.nodes > 1:
        fields |= {"nodes": training.nodes}
    if training.runs_per_device != 1:
        fields |= {"runs_per_device": training.runs_per_device}
    return _texts(fields)


def all_fields(result: Result) -> Fields:
    """All conditions of a run."""
    return {**fingerprint_fields(result), **libraries(result), **cost_fields(result)}


def _texts(fields: dict[str, str | int | None]) -> Fields:
    return {key: None if value is None else str(value) for key, value in fields.items()}


def fingerprint(fields: Fields) -> str:
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
    measured = _fingerprints(group)
    found = list(measured.dropna().unique())
    if not found:
        return [Part(task, model, None, {}, group)]
    beside = measured.groupby(group["variant"]).transform("first")
    home = measured.fillna(beside).fillna(found[0])
    samples = pd.DataFrame({name: _sample(group[measured == name]) for name in found}).T
    keys = _differing_keys(samples)
    return [
        Part(
            task,
            model,
            name,
            {key: _shown(key, samples.loc[name, column]) for column, key in keys.items()},
            rows,
        )
        for name in found
        if len(rows := group[home == name])
    ]


def _fingerprints(group: pd.DataFrame) -> pd.Series:
    """The fingerprint that each measured run is parted by; missing for the others.

    Where the runs of one fingerprint use a library in several versions, each version is apart, and
    the runs that do not use it stay with the version of most, of equals the first.
    """
    found = group["fingerprint"].mask(group["state"].isin(UNMEASURED))
    for column in _columns(group, LIBRARY):
        for name, versions in group[column].groupby(found):
            counts = versions.value_counts(sort=False)
            if len(counts) > 1:
                own = versions.fillna(str(counts.idxmax()))
                found[own.index] = [short_hash([name, column, version]) for version in own]
    return found


def _sample(rows: pd.DataFrame) -> pd.Series:
    """The conditions of the score of rows that agree in them: equal hashes have equal fields."""
    return rows[_columns(rows, COMPARABLE) + _columns(rows, LIBRARY)].bfill().iloc[0]


def _differing_keys(samples: pd.DataFrame) -> dict[str, str]:
    """Column -> key of the conditions in which the samples differ."""
    fixed, brought = _columns(samples, COMPARABLE), _columns(samples, LIBRARY)
    differing = [name for name in fixed if samples[name].nunique(dropna=False) > 1]
    differing += [name for name in brought if samples[name].nunique() > 1]
    return {name: key_of(name) for name in differing}


def _columns(rows: pd.DataFrame, kind: str) -> list[str]:
    """The columns of a kind of conditions: `COMPARABLE`, `LIBRARY` or `CONDITION`."""
    return [name for name in map(str, rows) if name.startswith(kind)]


def key_of(column: str) -> str:
    """The condition that a column of the runs table holds."""
    return column.split("_", 1)[1]


def cost_marks(rows: pd.DataFrame) -> dict[str, str]:
    """Variant -> the letter of those of a part whose costs compare with its own.

    Empty where all compare. A variant whose ok seeds differ among themselves has none.
    """
    found = cost_fingerprints(rows)
    alike = dict.fromkeys(one for one in found.values() if one is not None)
    if len(alike) < 2:
        return {}
    letters = {one: _letter(number) for number, one in enumerate(alike)}
    return {variant: letters[one] for variant, one in found.items() if one is not None}


def cost_fingerprints(rows: pd.DataFrame) -> dict[str, str | None]:
    """Variant with an ok run -> the fingerprint of its costs; None where its seeds differ."""
    ok = rows[rows["state"] == "ok"]
    found = ok.groupby("variant", sort=False)["cost_fingerprint"].unique()
    return {str(name): str(one[0]) if len(one) == 1 else None for name, one in found.items()}


def score_values(part: Part) -> dict[str, list[str]]:
    """The value of each condition of scores in a measured part; of a library, where one is used."""
    rows = part.rows[~part.rows["state"].isin(UNMEASURED)]
    fixed, brought = _columns(rows, COMPARABLE), _columns(rows, LIBRARY)
    found = {key_of(name): [condition(key_of(name), rows[name].iloc[0])] for name in fixed}
    used = {key_of(name): list(rows[name].dropna().unique()) for name in brought}
    return found | {key: versions for key, versions in used.items() if versions}


def cost_values(rows: pd.DataFrame) -> dict[str, list[str]]:
    """The values that each condition of costs has in measured rows."""
    measured = rows[~rows["state"].isin(UNMEASURED)]
    return {
        key_of(name): [condition(key_of(name), value) for value in measured[name].unique()]
        for name in _columns(rows, CONDITION)
    }


def _letter(number: int) -> str:
    """a to z, then aa, ab and so on."""
    above, here = divmod(number, 26)
    return (_letter(above - 1) if above else "") + chr(ord("a") + here)


def condition(key: str, value: Any) -> str:
    """A field of the fingerprint as text, also where a run has none."""
    return _WITHOUT.get(key, "none") if pd.isna(value) else str(value)


def short_value(key: str, value: str) -> str:
    """A field's value as it stands in a note: of a hash its beginning."""
    return value[:12] if key.endswith("sha256") else value


def _shown(key: str, value: Any) -> str:
    return short_value(key, condition(key, value))
