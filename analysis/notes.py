"""What stands below a table or a figure: what was measured, on what, and what is missing."""

import pandas as pd

from analysis.budget import budget_notes
from analysis.comparability import Part, by_part, condition, short_value, split_by_fingerprint
from analysis.comparisons.contenders import (
    BEST,
    LEVEL,
    NOT_SIGNIFICANT,
    WORSE,
)
from analysis.frame import COMPARABLE, SIGNS
from analysis.quantities import count_text
from analysis.summary import cell_names

MEASURED = (
    "Test score: the metric named in the row, on the test split, of the state kept by the "
    "validation score. It is the mean over the seeds that ended ok; ± is half of the 95 % Student "
    "t interval over these seeds, n their number. With one seed there is no interval.",
    "Standard error: first that of the mean over the seeds, then that of an accuracy on this many "
    "test items, sqrt(p (1 - p) / n). The first shrinks with more seeds, the second with more test "
    "items; it is the most that the items add, as seeds that disagree on items average a part out.",
    f"Against the best: the variant of the highest mean of its task, model and fingerprint is "
    f"{BEST}; the others are tested against it by a paired t test over seeds, two-sided, adjusted "
    f"by Holm. {WORSE}: p is at most {LEVEL}. {NOT_SIGNIFICANT}: p is larger, the difference is "
    "not significant. That is no equality: with few seeds a test overlooks all but large "
    "differences. A variant without an ok run under every seed of the others is not compared, and "
    "nothing is with one seed.",
    "Peak training memory: the largest amount of live tensor storage in forward, backward and "
    "optimizer step. Training time: wall clock of the training steps, evaluations excluded. "
    "Throughput: examples a second over the same steps. These and the stored size are means over "
    "the same seeds; the CSV beside this table holds their t intervals.",
)


def notes(frame: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """The notes of a runs table and its summary, a sentence or two each."""
    parts = split_by_fingerprint(frame)
    legend = "; ".join(f"{sign}: {meaning}" for sign, meaning in SIGNS.items())
    return [
        coverage(frame),
        *MEASURED,
        *budget_notes(frame),
        *_conditions(parts),
        *_split_notes(parts),
        *_untested(summary),
        f"Signs, with the number of seeds: {legend}.",
    ]


def coverage(frame: pd.DataFrame) -> str:
    """How many of the planned runs of a runs table have a record, of whatever state."""
    planned = frame.dropna(subset="run")
    return f"{(planned['state'] != 'missing').sum()} of {len(planned)} planned runs have a record."


def gaps(summary: pd.DataFrame) -> list[str]:
    """One line a sign: the cells with runs that are not ok, with the sign and its count."""
    rows = summary[summary["state"] != "ok"].groupby("state", sort=False)
    return [f"{state}: {cell_names(cells)}" for state, cells in rows]


def shared_conditions(parts: list[Part]) -> dict[str, str]:
    """The fields of the fingerprint with one value in all measured parts."""
    fields = [part_conditions(part) for part in parts if part.fingerprint]
    common = set.intersection(*(set(item.items()) for item in fields)) if fields else set()
    return {key: value for key, value in fields[0].items() if (key, value) in common}


def part_conditions(part: Part) -> dict[str, str]:
    """The fields of a part's fingerprint."""
    row = part.rows[part.rows["fingerprint"] == part.fingerprint].iloc[0]
    return {
        key: condition(key, value)
        for name, value in row.items()
        if (key := str(name).removeprefix(COMPARABLE)) != name
    }


def _conditions(parts: list[Part]) -> list[str]:
    measured = [part for part in parts if part.fingerprint]
    if not measured:
        return ["No run was measured."]
    shared = shared_conditions(parts)
    lines = [f"Same for all runs: {_text(shared)}."]
    for part in measured:
        own = {key: value for key, value in part_conditions(part).items() if key not in shared}
        lines.append(
            f"{part.place}: fingerprint {part.fingerprint}{_items(part)}"
            + (f"; {_text(own)}." if own else ".")
        )
    return lines


def _items(part: Part) -> str:
    pairs = part.rows[["n_validation", "n_test"]].dropna().drop_duplicates()
    return "".join(
        f", {count_text(validation)} validation and {count_text(test)} test items"
        for validation, test in pairs.itertuples(index=False)
    )


def _split_notes(parts: list[Part]) -> list[str]:
    split = [part for part in parts if part.differs]
    places = dict.fromkeys(part.place for part in split)
    return [
        f"{place} is split: its runs are not comparable. "
        + "; ".join(
            f"fingerprint {part.fingerprint} has {part.difference}"
            for part in split
            if part.place == place
        )
        + "."
        for place in places
    ]


def _untested(summary: pd.DataFrame) -> list[str]:
    """A line each task, model and fingerprint in which a test against the best has no p-value."""
    found = summary[(summary["standing"] == NOT_SIGNIFICANT) & summary["standing_p_value"].isna()]
    return [
        f"{title}: {', '.join(rows['variant'])} is {NOT_SIGNIFICANT} as every seed gives the same "
        "difference, whose spread cannot be told."
        for title, rows in by_part(found)
    ]


def _text(fields: dict[str, str]) -> str:
    return ", ".join(f"{key} {short_value(key, value)}" for key, value in fields.items())
