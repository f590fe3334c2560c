"""A forecast in the terminal: one table a task and model, and what it comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from statistics import median

from workflow.forecast.command import errors
from workflow.forecast.record import REASONS, CellForecast, Forecast, Peak, Reason, Work

HEADERS = ["variant", "method", "done", "would run", "time", "peak memory", "measured"]
FITS = "fits"
_MISSING = "—"
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_UNCHECKED = "models not compared with what the records were made with, as only loading them tells"

Table = tuple[str, list[str], list[list[str]]]


def tables(found: Forecast) -> Iterator[Table]:
    """Title, headers and rows of each pair of task and model."""
    headers = HEADERS + ([FITS] if found.device_memory_gb is not None else [])
    ordered = sorted(found.cells, key=lambda cell: (cell.task, cell.model))
    for (task, model), cells in groupby(ordered, key=lambda cell: (cell.task, cell.model)):
        rows = [_row(cell)[: len(headers)] for cell in cells]
        yield f"{task} · {model}", headers, rows


def remarks(found: Forecast) -> Iterator[str]:
    """What the tables come to, and how to read them."""
    yield _work_in_words(found)
    yield _time_in_words(found)
    given = _reasons(found)
    yield from (f"{reason}: {meaning}" for reason, meaning in REASONS.items() if given[reason])
    yield from _signs(found)
    if found.unchecked_models:
        yield f"{_UNCHECKED}: {', '.join(found.unchecked_models)}"
    yield from _unfit(found)
    yield from failures(found)


def failures(found: Forecast) -> Iterator[str]:
    """The cells whose runs would fail, with the error that a trace of their step meets."""
    for cell in found.cells:
        if cell.error:
            yield f"error: {cell.task} x {cell.model} x {cell.variant}: {cell.error}"


def _row(cell: CellForecast) -> list[str]:
    names = [cell.variant, cell.method]
    if cell.not_applicable:
        return [*names, "n/a", *[_MISSING] * 5]
    works = [work for work in (cell.trials, cell.runs) if work.planned]
    planned, pending = sum(w.planned for w in works), sum(w.pending for w in works)
    return [
        *names,
        f"{planned - pending} of {planned}",
        _why(works),
        _time(works),
        _predicted(cell.peak),
        _bytes(cell.peak.measured_bytes if cell.peak else None),
        {True: "yes", False: "NO", None: _MISSING}[cell.fits],
    ]


def _why(works: list[Work]) -> str:
    total: Counter[Reason] = Counter()
    for work in works:
        total.update(work.would_run)
    return ", ".join(f"{count} {reason}" for reason, count in total.items()) or _MISSING


def _time(works: list[Work]) -> str:
    """The known time; ~ where some is scaled, ≤ a bound of more, + where the rest is unknown."""
    pending, unknown = sum(w.pending for w in works), sum(w.unknown for w in works)
    bounded = sum(w.bounded for w in works)
    if not pending:
        return _MISSING
    about = "~" if any(work.scaled for work in works) else ""
    known = [about + _duration(sum(w.hours for w in works))] if unknown < pending else []
    bound = [f"≤ {_duration(sum(w.bound_hours for w in works))}"] if bounded else []
    more = " +" if bounded < unknown else ""
    return " + ".join(known + bound) + more if known or bound else "unknown"


def _duration(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 10 else f"{hours:,.0f} h"


def _predicted(peak: Peak | None) -> str:
    if peak is None or peak.predicted_bytes is None:
        return _MISSING
    bound = peak.instrument == "bound" or not peak.measured_batch
    return ("≤ " if bound else "") + _bytes(peak.predicted_bytes)


def _bytes(value: int | None) -> str:
    if value is None:
        return _MISSING
    size, unit = next((pair for pair in _UNITS if value >= pair[0]), (1.0, "B"))
    return f"{value / size:.1f} {unit}"


def _work_in_words(found: Forecast) -> str:
    kinds = {"trials": [c.trials for c in found.cells], "runs": [c.runs for c in found.cells]}
    counts = {kind: sum(work.planned for work in works) for kind, works in kinds.items()}
    planned = " and ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    pending = sum(work.pending for works in kinds.values() for work in works)
    done = sum(counts.values()) - pending
    return f"{planned}: {done} done, {pending} would run"


def _time_in_words(found: Forecast) -> str:
    pending = sum(work.pending for cell in found.cells for work in (cell.trials, cell.runs))
    if not pending:
        return "nothing would run"
    rest = found.unknown - found.bounded
    if rest == pending:
        absent = "no record of runs like these, and their tasks are not prepared"
        return f"time: unknown, as {found.results} holds {absent}"
    known = _hours(found.hours, found.gpu_hours)
    bound = _hours(found.bound_hours, found.bound_gpu_hours)
    parts = [f"{known} one after the other"] if found.unknown < pending else []
    parts += [f"≤ {bound} for {found.bounded} that no record tells of"] if found.bounded else []
    parts += [f"and {rest} whose time is unknown"] if rest else []
    return f"time: {', '.join(parts)}"


def _hours(hours: float, gpu_hours: float) -> str:
    return _duration(hours) + (f" ({_duration(gpu_hours)} of GPUs)" if gpu_hours else "")


def _reasons(found: Forecast) -> Counter[Reason]:
    total: Counter[Reason] = Counter()
    for cell in found.cells:
        for work in (cell.trials, cell.runs):
            total.update(work.would_run)
    return total


def _signs(found: Forecast) -> Iterator[str]:
    yield (
        "time: of what would run, from the start of training's set-up to the last score, the start "
        "of the process left out; ~ scaled from other cells on the same task, ≤ what the scheduler "
        "is asked for where no record tells, + and more that is unknown"
    )
    yield (
        "peak memory: live tensors of one training step, traced without numbers; ≤ a bound, by "
        "the longest batch allowed or by arithmetic where a step cannot be traced"
    )
    untraced = [cell.peak for cell in found.cells if cell.peak and not cell.error]
    reasons = Counter(peak.reason for peak in untraced if peak.reason)
    for reason, count in reasons.items():
        yield f"{count} {'cell' if count == 1 else 'cells'}: {reason}"
    off = [abs(one) for one in errors(found.cells)]
    if off:
        yield (
            f"{len(off)} traced peaks against the measured: off by {median(off):.1%} in the "
            f"median, {max(off):.1%} at the most"
        )


def _unfit(found: Forecast) -> Iterator[str]:
    unfit = [cell for cell in found.cells if cell.fits is False]
    if unfit:
        names = ", ".join(f"{one.task} x {one.model} x {one.variant}" for one in unfit)
        yield f"does not fit {found.device_memory_gb:g} GB: {names}"
