"""A report of drift as tables and remarks."""

import re
from collections.abc import Iterator

from analysis.compare import Table
from analysis.drift.findings import Drift, Shift, Verdict
from analysis.quantities import NONE, count_text
from finegrid.records.base import SHA256_PATTERN

MEANINGS: dict[Verdict, str] = {
    "identical": "every seed has the same losses and scores, to the last bit",
    "equivalent": "every measure's shift is shown to be smaller than its margin, at level 0.05",
    "shifted": "a measure has an adjusted p of at most 0.05, and its shift is not shown to be "
    "smaller than its margin",
    "cannot tell": "neither is shown: the seeds are too few for their spread, or there is one, or "
    "all of them shift by the same",
    "re-run failed": "a run that once ended ok does not any more",
}
METHOD = (
    "shift: now - then, the mean over seeds; interval: paired 95 % t interval, for this row alone; "
    "p: paired t test that there is no shift, adjusted by Holm over all {tests} tests of this "
    "page; margin: {score:g} of a score, {loss:.3g} of the mean loss of then; p (margin): two "
    "one-sided t tests that the shift is as large as the margin"
)
_HASH_DIGITS = 12


def tables(drift: Drift) -> Iterator[Table]:
    """For each cell what moved, then what changed where anything did."""
    for cell in drift.cells:
        headers = ["measure", "seeds", "shift", "95 % interval", "p", "margin", "p (margin)"]
        rows = [_shift_row(one) for one in cell.shifts]
        ended = [one for one in cell.reruns if one.state != "ok"]
        rows += [
            [f"seed {one.seed}", "", one.state, one.reason or NONE, "", "", ""] for one in ended
        ]
        yield f"{cell.cell}: {cell.verdict}", headers, rows
        changed = [[one.key, _short(one.then), _short(one.now)] for one in cell.changes]
        if changed:
            yield "changed since", ["key", "then", "now"], changed


def remarks(drift: Drift) -> Iterator[str]:
    """What the tables do not say: the tests, the verdicts that occur, and what is missing."""
    yield METHOD.format(tests=drift.tests, score=drift.margins.score, loss=drift.margins.loss)
    for verdict in dict.fromkeys(cell.verdict for cell in drift.cells):
        yield f"{verdict}: {MEANINGS[verdict]}"
    for cell in drift.cells:
        for one in cell.shifts:
            if one.reason:
                yield f"{cell.cell}, {one.measure}: {one.reason}"


def _shift_row(shift: Shift) -> list[str]:
    items = " / ".join(map(count_text, shift.items))
    name = " ".join(part for part in (shift.measure, shift.metric) if part)
    return [
        f"{name} (n={items})" if items else name,
        str(shift.n),
        _signed(shift.mean),
        NONE if shift.low is None else f"{_signed(shift.low)} to {_signed(shift.high)}",
        *(NONE if one is None else f"{one:.3g}" for one in (shift.p_adjusted, shift.margin)),
        NONE if shift.p_equivalence is None else f"{shift.p_equivalence:.3g}",
    ]


def _signed(value: float | None) -> str:
    return NONE if value is None else f"{value:+.3g}"


def _short(value: str | None) -> str:
    """A condition's value, of a hash its beginning."""
    if value is None:
        return NONE
    return value[:_HASH_DIGITS] if re.fullmatch(SHA256_PATTERN, value) else value
