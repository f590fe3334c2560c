"""How long runs take, by the records of runs like them. What no record tells is not known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from finegrid.models.anatomies import Anatomies
from finegrid.planning.estimate import computed_parameters
from finegrid.records.costs import Time
from finegrid.records.identity import canonical_json
from finegrid.records.result import Machine, Result
from finegrid.records.specification import LEARNING_RATE, Specification, model_key
from tasks.registry import kind_of

_Setting = tuple[str | int, ...]
_Traits = tuple[str, str, str, str, int]
_NOT_OF_COST = ("seed", "tuning")
"""Keys of a specification that take no time."""


@dataclass(frozen=True)
class Duration:
    """Seconds of a run from its start to its last score, and whether they are another cell's."""

    seconds: float
    scaled: bool


@dataclass(frozen=True)
class Timings:
    """The times of the records that ended ok, of the kind of machine that ran last on a device."""

    records: Sequence[Result]
    anatomies: Anatomies

    def duration(self, spec: Specification) -> Duration | None:
        """What a run takes: the median of the same cell's, else of the records most like it.

        Those are of the same task, read to the same length on the same device; their training
        seconds are scaled by epochs and parameters, those of evaluation by evaluations and
        parameters. None without such a record.
        """
        same = self._same.get(_cost_key(spec))
        if same:
            return Duration(median(map(_seconds, same)), scaled=False)
        alike = self._alike.get(_setting(spec))
        if not alike:
            return None
        wanted = _traits(spec)
        likeness = {traits: _likeness(traits, wanted) for traits in alike}
        nearest = max(likeness.values())
        chosen = [pair for traits in alike if likeness[traits] == nearest for pair in alike[traits]]
        return Duration(median(self._scaled(one, time, spec) for one, time in chosen), scaled=True)

    def _scaled(self, known: Specification, time: Time, wanted: Specification) -> float:
        purpose = kind_of(wanted.task).purpose  # the task is the same
        models = wanted.model, known.model
        sizes = [computed_parameters(one, self.anatomies.of(one, purpose)) for one in models]
        size = sizes[0] / sizes[1]
        epochs = wanted.training.epochs / known.training.epochs
        evaluations = wanted.training.evaluations / known.training.evaluations
        train = time.train_seconds * epochs * size
        return time.setup_seconds + train + time.evaluate_seconds * evaluations * size

    @cached_property
    def _timed(self) -> list[tuple[Result, Time]]:
        timed = [(one, one.time) for one in self.records if one.state == "ok" and one.time]
        latest = _latest_machines(one for one, _ in timed)
        return [(one, time) for one, time in timed if _kind(one) == latest[one.provenance.device]]

    @cached_property
    def _same(self) -> dict[str, list[Time]]:
        found: dict[str, list[Time]] = {}
        for one, time in self._timed:
            found.setdefault(_cost_key(one.spec), []).append(time)
        return found

    @cached_property
    def _alike(self) -> dict[_Setting, dict[_Traits, list[tuple[Specification, Time]]]]:
        found: dict[_Setting, dict[_Traits, list[tuple[Specification, Time]]]] = {}
        for one, time in self._timed:
            traits = found.setdefault(_setting(one.spec), {})
            traits.setdefault(_traits(one.spec), []).append((one.spec, time))
        return found


def _latest_machines(records: Iterable[Result]) -> dict[str, Machine]:
    """Device -> the kind of machine of the last run on it."""
    ordered = sorted(records, key=lambda one: one.provenance.started_at)
    return {one.provenance.device: _kind(one) for one in ordered}


def _kind(record: Result) -> Machine:
    """Its machine without a name: the nodes of a cluster are alike."""
    return record.provenance.machine.model_copy(update={"hostname": ""})


def _cost_key(spec: Specification) -> str:
    """What the runs of a cell share that decides their time."""
    plain = json.loads(spec.model_dump_json())
    for key in _NOT_OF_COST:
        del plain[key]
    plain["training"].pop(LEARNING_RATE, None)
    del plain["variant"]["name"]
    return canonical_json(plain)


def _setting(spec: Specification) -> _Setting:
    """What two runs must share for the time of one to say anything about the other."""
    training = spec.training
    processes = training.devices, training.strategy, training.nodes, training.threads
    types = training.dtype, training.weights, training.double_quantisation
    place = training.device, training.runs_per_device
    return spec.task.key, training.max_length, *place, *types, *processes


def _traits(spec: Specification) -> _Traits:
    """What two runs may share beyond that, the most telling first."""
    variant = spec.variant
    settings = canonical_json(dict(variant.settings))
    model, batch_size = model_key(spec.model), spec.training.batch_size
    return model, variant.method, settings, spec.role, batch_size


def _likeness(one: _Traits, other: _Traits) -> tuple[bool, ...]:
    return tuple(mine == theirs for mine, theirs in zip(one, other, strict=True))


def _seconds(time: Time) -> float:
    return time.setup_seconds + time.train_seconds + time.evaluate_seconds
