"""Drift: runs of then, made again now; what moved, and what else is not as it was."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from statistics import fmean
from typing import Annotated, Literal

from pydantic import Field

from analysis.comparability import all_fields
from analysis.compare import Split, scores_on
from analysis.statistics.comparison import NO_SPREAD, holm, paired_equivalence, paired_t
from finegrid.records.base import Name, Record
from finegrid.records.result import Result, State
from finegrid.records.tuning import effective

Measure = Literal["final training loss", "validation", "test"]
Verdict = Literal["identical", "equivalent", "shifted", "cannot tell", "re-run failed"]
LEVEL = 0.05
SCORE_MARGIN = 0.01
LOSS_MARGIN = 0.05


class Margins(Record):
    """How far a measure may move and still count as equivalent."""

    score: Annotated[float, Field(gt=0)] = SCORE_MARGIN
    """In the unit of the primary metric."""
    loss: Annotated[float, Field(gt=0)] = LOSS_MARGIN
    """A share of the mean loss of then: losses have no common unit."""


class Change(Record):
    """A condition of the runs that is not as it was; None where there was or is no value."""

    key: str
    then: str | None
    now: str | None


class Rerun(Record):
    """A run and how it ended when it was made again."""

    seed: int
    then: Name
    now: Name
    """The run of the effective specification, which for a tuned run has another name."""
    state: State
    reason: str | None = None
    losses_equal: bool | None = None
    """Whether the four losses of the summary are equal to the last bit; null if one is missing."""
    scores_equal: bool | None = None
    """The same for all scores of validation and test, and for the step that was kept."""


class Shift(Record):
    """What one measure moved by, over the seeds that have it then and now."""

    measure: Measure
    metric: str | None
    """The primary metric of then; null for the loss."""
    n: int
    """Seeds."""
    items: tuple[int, ...]
    """The numbers of examples behind the scores, then and now: one number unless they changed."""
    mean: float | None = None
    """Now - then."""
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    """By Holm's procedure over all tests of the report."""
    margin: float | None = None
    """The smallest shift that counts, in the unit of the measure; null where no seed has it."""
    p_equivalence: float | None = None
    """Of the test that the shift is smaller than the margin, see `paired_equivalence`."""
    reason: str | None = None
    """Why the shift, its interval or the value of a seed is missing."""

    @property
    def is_equivalent(self) -> bool:
        """Whether the shift is shown to be smaller than the margin."""
        return self.p_equivalence is not None and self.p_equivalence <= LEVEL

    @property
    def is_shifted(self) -> bool:
        """Whether there is a shift, and it is not shown to be smaller than the margin."""
        found = self.p_adjusted is not None and self.p_adjusted <= LEVEL
        return found and not self.is_equivalent


class CellDrift(Record):
    """A cell, then and now."""

    cell: str
    verdict: Verdict
    reruns: tuple[Rerun, ...]
    shifts: tuple[Shift, ...]
    changes: tuple[Change, ...]
    """The probable causes: fingerprint, package versions and source."""


class Drift(Record):
    """What became of the anchor cells of a results folder."""

    schema_version: Literal[2] = 2
    results: str
    """The folder of then."""
    remade: str
    """The folder of now."""
    selection: str
    """How the cells were chosen."""
    level: float = LEVEL
    margins: Margins
    tests: int
    cells: tuple[CellDrift, ...]

    @property
    def unmoved(self) -> bool:
        """Whether every cell is identical or equivalent."""
        return all(one.verdict in ("identical", "equivalent") for one in self.cells)


@dataclass(frozen=True)
class Pair:
    """A run of then and its record of now, or why there is none."""

    then: Result
    now: Result | None
    reason: str | None = None

    @property
    def state(self) -> State:
        """How the re-run ended."""
        return self.now.state if self.now else "failed"


@dataclass(frozen=True)
class _Reading:
    """A measure of one seed, then and now, and the examples behind it."""

    then: float
    now: float
    items: frozenset[int] = frozenset()


_Reader = Callable[[Result, Result], _Reading | str]
"""What a measure is for one seed, or why it is missing."""


def find_drift(
    cells: Mapping[str, Sequence[Pair]],
    results: str,
    remade: str,
    selection: str,
    margins: Margins = Margins(),  # noqa: B008  # a record does not change
) -> Drift:
    """What moved in each cell, from its pairs of runs. `results` and `remade` name the folders.

    Each measure of a cell with at least two seeds is a paired t test over them (see `paired_t`),
    and all these tests together are adjusted by `holm`. Each is an equivalence test as well (see
    `paired_equivalence`), without adjustment: a cell is equivalent only where all its measures are,
    and such a claim errs no more often than one of its tests (Berger 1982).
    """
    raw = {name: tuple(_shifts(pairs, margins)) for name, pairs in cells.items()}
    p_values = [one.p_value for one in chain(*raw.values()) if one.p_value is not None]
    adjusted = iter(holm(p_values).tolist() if p_values else ())
    found = {name: tuple(_adjusted(one, adjusted) for one in raw[name]) for name in cells}
    return Drift(
        results=results,
        remade=remade,
        selection=selection,
        margins=margins,
        tests=len(p_values),
        cells=tuple(_cell(name, pairs, found[name]) for name, pairs in cells.items()),
    )


def _cell(name: str, pairs: Sequence[Pair], shifts: tuple[Shift, ...]) -> CellDrift:
    reruns = tuple(map(_rerun, pairs))
    changes = dict.fromkeys(change for pair in pairs for change in _changes(pair))
    return CellDrift(
        cell=name,
        verdict=_verdict(reruns, shifts),
        reruns=reruns,
        shifts=shifts,
        changes=tuple(sorted(changes, key=lambda one: one.key)),
    )


def _rerun(pair: Pair) -> Rerun:
    then, now = pair.then, pair.now
    measured = now is not None and now.state == "ok"
    return Rerun(
        seed=then.spec.seed,
        then=then.run,
        now=effective(then).run,
        state=pair.state,
        reason=now.reason if now else pair.reason,
        losses_equal=then.losses == now.losses if now and then.losses and now.losses else None,
        scores_equal=_scores(then) == _scores(now) if now and measured else None,
    )


def _scores(result: Result) -> object:
    """Every score of the model, and the step that was kept."""
    metrics = result.metrics
    return metrics and (metrics.primary, metrics.validation, metrics.test, metrics.best_step)


def _verdict(reruns: Sequence[Rerun], shifts: Sequence[Shift]) -> Verdict:
    if any(one.state != "ok" for one in reruns):
        return "re-run failed"
    if all(one.losses_equal and one.scores_equal for one in reruns):
        return "identical"
    if any(one.is_shifted for one in shifts):
        return "shifted"
    measured = [one for one in shifts if one.n]
    equivalent = bool(measured) and all(one.is_equivalent for one in measured)
    return "equivalent" if equivalent else "cannot tell"


def _changes(pair: Pair) -> Iterator[Change]:
    if pair.now is None:
        return
    then, now = _conditions(pair.then), _conditions(pair.now)
    for key in sorted({*then, *now}):
        change = Change(key=key, then=then.get(key), now=now.get(key))
        # a run that failed early has read no data: that is no change of them
        unread = change.now is None and pair.state != "ok"
        if change.then != change.now and not unread:
            yield change


def _conditions(result: Result) -> dict[str, str | None]:
    origin = result.provenance
    return {
        **all_fields(result),
        **origin.packages,
        "python": origin.python,
        "system": origin.machine.system,
        "deterministic": str(origin.deterministic).lower(),
        "source_digest": origin.source_digest,
    }


def _shifts(pairs: Sequence[Pair], margins: Margins) -> Iterator[Shift]:
    measured = [(pair.then, pair.now) for pair in pairs if pair.now and pair.state == "ok"]
    scored = next((one.then.metrics for one in pairs if one.then.metrics), None)
    selector, primary = (scored.selector, scored.primary) if scored else (None, None)
    yield _shift("final training loss", None, measured, _read_losses, margins)
    yield _shift("validation", selector, measured, partial(_read_scores, "validation"), margins)
    yield _shift("test", primary, measured, partial(_read_scores, "test"), margins)


def _shift(
    measure: Measure,
    metric: str | None,
    measured: Sequence[tuple[Result, Result]],
    read: _Reader,
    margins: Margins,
) -> Shift:
    found = [(then.spec.seed, read(then, now)) for then, now in measured]
    readings = [one for _, one in found if isinstance(one, _Reading)]
    missing = {seed: why for seed, why in found if isinstance(why, str)}
    margin = _margin(margins, readings, is_loss=metric is None)
    moments = _moments(readings, margin)
    untested = [] if "p_value" in moments else [_why_untested(len(readings))]
    return Shift(
        measure=measure,
        metric=metric,
        n=len(readings),
        items=tuple(sorted(frozenset().union(*(one.items for one in readings)))),
        reason="; ".join([*_by_reason(missing), *untested]) or None,
        margin=margin,
        **moments,
    )


def _margin(margins: Margins, readings: Sequence[_Reading], *, is_loss: bool) -> float | None:
    if not readings or not is_loss:
        return margins.score if readings else None
    return margins.loss * abs(fmean(one.then for one in readings))


def _moments(readings: Sequence[_Reading], margin: float | None) -> dict[str, float | None]:
    """Mean, interval and p-values, as far as the seeds give them."""
    if len(readings) < 2:
        return {"mean": readings[0].now - readings[0].then} if readings else {}
    sides = [one.now for one in readings], [one.then for one in readings]
    found = paired_t(*sides)
    interval = found.difference
    if found.p_value is None:
        return {"mean": interval.mean}
    return {
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "p_value": found.p_value,
        # of losses that were all 0 no share is a margin
        "p_equivalence": paired_equivalence(*sides, margin) if margin else None,
    }


def _by_reason(missing: Mapping[int, str]) -> Iterator[str]:
    """Every reason with the seeds whose value is missing for it."""
    for why in dict.fromkeys(missing.values()):
        seeds = ", ".join(str(seed) for seed, other in missing.items() if other == why)
        yield f"{why} (seed {seeds})"


def _why_untested(n: int) -> str:
    """Why a measure that n seeds have has no test."""
    if n == 0:
        return "no seed has it then and now"
    return "one seed has no interval and no test" if n == 1 else NO_SPREAD


def _adjusted(shift: Shift, p_values: Iterator[float]) -> Shift:
    """The shift with the next adjusted p-value, if it was tested."""
    if shift.p_value is None:
        return shift
    return shift.model_copy(update={"p_adjusted": next(p_values)})


def _read_losses(then: Result, now: Result) -> _Reading | str:
    if then.losses and now.losses:
        return _Reading(then.losses.final, now.losses.final)
    when = "now" if then.losses else "then"
    return f"the record of {when} holds no training losses"


def _read_scores(split: Split, then: Result, now: Result) -> _Reading | str:
    if then.metrics is None or now.metrics is None:
        return "a record without scores"
    name = then.metrics.deciding(split)
    before, after = scores_on(split, then.metrics), scores_on(split, now.metrics)
    if name not in before or name not in after:
        return f"{name} is not scored on {split} any more"
    items = frozenset({before[name].n, after[name].n})
    return _Reading(before[name].value, after[name].value, items)
