"""What stands below a table or a figure: what was measured, on what, and what is missing."""

import re
from collections.abc import Iterable

import pandas as pd

from analysis.budget import budget_notes
from analysis.cells import has_trivial
from analysis.comparability import (
    Part,
    by_part,
    cost_fingerprints,
    cost_marks,
    cost_values,
    score_values,
    short_value,
    split_by_fingerprint,
)
from analysis.comparisons.contenders import (
    BEST,
    LEVEL,
    NOT_SIGNIFICANT,
    WORSE,
)
from analysis.frame import (
    COUNTED,
    DEQUANTISED,
    DRAWN,
    KEPT_HEAD,
    SIGNS,
    STRIPPED,
    TASK_REMARKS,
    present,
)
from analysis.metric import metric_named
from analysis.quantities import count_text
from analysis.statistics.bootstrap import RESAMPLES
from analysis.summary import CELL, cell_names

_COUNT = re.compile(r"(\d+) ([^,]+)")
"""One of the counts of a run, which commas part."""
MEASURED = (
    "Test score: the metric named in the row, on the test split, of the state kept by the "
    "validation score. It is the mean over the seeds that ended ok; ± is half of the 95 % Student "
    "t interval over these seeds, n their number. With one seed there is no interval.",
    "Standard error: first that of the mean over the seeds, then that of one seed's score over its "
    "test items: sqrt(p (1 - p) / n) of a share of right ones, else the jackknife's. The first "
    "shrinks with more seeds, the second with more test items; it is the most that the items add, "
    "as seeds that disagree on items average a part out.",
    f"Against the best: the variant of the highest mean of its task, model and fingerprint is "
    f"{BEST}; the others are tested against it by a paired t test over seeds, two-sided, adjusted "
    f"by Holm. {WORSE}: p is at most {LEVEL}. {NOT_SIGNIFICANT}: p is larger, the difference is "
    "not significant. That is no equality: with few seeds a test overlooks all but large "
    "differences. A variant without an ok run under every seed of the others is not compared, and "
    "nothing is with one seed. The interval says what the difference to the best may be: 95 % of "
    f"{RESAMPLES:,} resamples of seeds and test items, both the same for the two, as in the table "
    "of pairs. One that holds 0 is no equality either: what lies inside of it may be true. It sees "
    "too little of the variance between seeds: where that is most of it, an interval of three "
    "seeds holds the true difference about three times in four.",
    "Peak training memory: the largest amount of live tensor storage in forward, backward and "
    "optimizer step. Training time: wall clock of the training steps, evaluations excluded. "
    "Throughput: examples a second over the same steps. These and the stored size are means over "
    "the same seeds; the CSV beside this table holds their t intervals.",
)
TRIVIAL_PREDICTOR = (
    "Trivial predictor: the majority class of the training split, or the mean of its labels, for "
    "every test example; scored by each run with the same metric, and trained by none. Undefined: "
    "the metric has no value for a constant."
)


def notes(frame: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """The notes of a runs table and its summary, a sentence or two each."""
    parts = split_by_fingerprint(frame)
    legend = "; ".join(f"{sign}: {meaning}" for sign, meaning in SIGNS.items())
    return [
        coverage(frame),
        *MEASURED,
        *([TRIVIAL_PREDICTOR] if has_trivial(frame) else []),
        *falling_notes(frame),
        *within_notes(frame),
        *budget_notes(frame),
        *base_notes(frame),
        *task_notes(frame),
        *counted_notes(frame),
        *_conditions(parts),
        *_split_notes(parts),
        *cost_notes(parts),
        *_untested(summary),
        *lost_mirrors(frame),
        f"Signs, with the number of seeds: {legend}.",
    ]


def falling_notes(frame: pd.DataFrame) -> list[str]:
    """A line on the metrics of a runs table of which less is better; none where there is none."""
    names = [str(name) for name in present(frame, "metric").unique()]
    falling = ", ".join(name for name in names if metric_named(name).sign < 0)
    return [f"Of {falling} less is better: the best mean is the lowest one."] if falling else []


def within_notes(frame: pd.DataFrame) -> list[str]:
    """A line on each metric that compares variants of a model alone, where there are several."""
    found = frame.dropna(subset="metric").groupby("metric", sort=False)["model"].nunique()
    reasons = {str(name): metric_named(str(name)).within for name in found[found > 1].index}
    return [
        f"{name} compares the variants of one model, and no two models: {reason}."
        for name, reason in reasons.items()
        if reason is not None
    ]


def coverage(frame: pd.DataFrame) -> str:
    """How many of the planned runs of a runs table have a record, of whatever state."""
    planned = frame.dropna(subset="run")
    return f"{(planned['state'] != 'missing').sum()} of {len(planned)} planned runs have a record."


def base_notes(frame: pd.DataFrame) -> list[str]:
    """A line for each model whose checkpoint is not read as it stands, or not in the usual way."""
    return [
        *_by("model", frame, KEPT_HEAD, "{name}: every run starts from the checkpoint's own head."),
        *_by(
            "model",
            frame,
            DRAWN,
            "{name}: the checkpoint lacks {value}, which is part of the head: drawn by the run's "
            "seed, trained by every method and counted as head.",
        ),
        *_by(
            "model",
            frame,
            STRIPPED,
            "{name}: {value} was taken off the names of the checkpoint's weights.",
        ),
        *dequantised_notes(frame),
    ]


def dequantised_notes(frame: pd.DataFrame) -> list[str]:
    """A line for each model of a runs table whose weights are not those that were pretrained."""
    return _by("model", frame, DEQUANTISED, "{name}: its weights were {value}.")


def _by(what: str, frame: pd.DataFrame, column: str, text: str) -> list[str]:
    """A line for each value of a column that the runs of a task, or of a model, have."""
    if column not in frame:
        return []
    found = frame.dropna(subset=column)[[what, column]].drop_duplicates()
    return [text.format(name=name, value=value) for name, value in found.itertuples(index=False)]


def task_notes(frame: pd.DataFrame) -> list[str]:
    """A line for each task of a runs table whose scores have to be read in a way of their own."""
    return _by("task", frame, TASK_REMARKS, "{name}: {value}.")


def counted_notes(frame: pd.DataFrame) -> list[str]:
    """A line for each cell whose examples or test predictions are not whole: its runs' counts.

    What is so of all runs of a task and a model, as of the examples that they share, is one line.
    """
    if COUNTED not in frame:
        return []
    scored = frame.dropna(subset="test_score").fillna({COUNTED: ""})
    notes = list[str]()
    for names, runs in scored.groupby(["task", "model"], sort=False):
        counted = _counts(runs[COUNTED]).items()
        shared = {what: counts[0] for what, counts in counted if len(set(counts)) == 1}
        cells = runs.groupby(CELL, sort=False)
        shared = shared if len(cells) > 1 else {}
        about = " · ".join(map(str, names))
        notes += [f"{about}: {count} {what}, in each run." for what, count in shared.items()]
        notes += [
            f"{' · '.join(map(str, cell))}: {', '.join(map(str, counts))} {what}."
            for cell, rows in cells
            for what, counts in _counts(rows[COUNTED]).items()
            if what not in shared
        ]
    return notes


def _counts(texts: Iterable[str]) -> dict[str, list[int]]:
    """What is counted -> its count in each of the texts."""
    found = [{what: int(count) for count, what in _COUNT.findall(text)} for text in texts]
    named = dict.fromkeys(what for counts in found for what in counts)
    return {what: [counts.get(what, 0) for counts in found] for what in named}


def lost_mirrors(frame: pd.DataFrame) -> list[str]:
    """How many runs of a runs table have no whole mirror in Weights & Biases; none, if they do."""
    warnings = present(frame, "mirror_warning")
    if warnings.empty:
        return []
    mirrors = "mirrors are" if len(warnings) > 1 else "mirror is"
    return [
        f"Weights & Biases: {len(warnings)} of {len(frame.dropna(subset='run'))} {mirrors} missing "
        f"or incomplete; the results are not. The first says: {warnings.iloc[0]}."
    ]


def gaps(summary: pd.DataFrame) -> list[str]:
    """One line a sign: the cells with runs that are not ok, with the sign and its count."""
    rows = summary[summary["state"] != "ok"].groupby("state", sort=False)
    return [f"{state}: {cell_names(cells)}" for state, cells in rows]


def shared_conditions(parts: list[Part]) -> dict[str, str]:
    """The conditions, of scores and of costs, with one value in all measured parts."""
    values = [_values(part) for part in parts if part.fingerprint]
    return {
        key: found[0]
        for key, found in (values[0].items() if values else ())
        if len(found) == 1 and all(other.get(key) == found for other in values)
    }


def part_conditions(part: Part) -> dict[str, str]:
    """The conditions of a part's runs; those of costs may have several values."""
    return {key: " or ".join(found) for key, found in _values(part).items()}


def cost_notes(parts: list[Part]) -> list[str]:
    """Whose costs compare with whose in each part, and which cells have no mean of them."""
    return [line for part in parts for line in (*_cost_groups(part), *_unlike_seeds(part))]


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


def _values(part: Part) -> dict[str, list[str]]:
    return score_values(part) | cost_values(part.rows)


def _cost_groups(part: Part) -> list[str]:
    marks = cost_marks(part.rows)
    ok = part.rows[part.rows["state"] == "ok"]
    differing = _several(ok[ok["variant"].isin(marks)])
    groups = []
    for letter in dict.fromkeys(marks.values()):
        names = [name for name, one in marks.items() if one == letter]
        values = cost_values(ok[ok["variant"].isin(names)])
        own = ", ".join(f"{key} {values[key][0]}" for key in differing)
        groups.append(f"[{letter}] {own}: {', '.join(names)}")
    if not groups:
        return []
    return [
        f"{part.title}: scores compare, and memory and time only between rows of one letter. "
        + "; ".join(groups)
        + "."
    ]


def _unlike_seeds(part: Part) -> list[str]:
    """The cells whose seeds differ in what memory and time depend on."""
    ok = part.rows[part.rows["state"] == "ok"]
    unlike = [name for name, one in cost_fingerprints(part.rows).items() if one is None]
    return [
        f"{part.title}: {name} has no mean of memory and time, for its seeds differ in "
        + ", ".join(
            f"{key} ({' and '.join(values)})"
            for key, values in _several(ok[ok["variant"] == name]).items()
        )
        + "."
        for name in unlike
    ]


def _several(rows: pd.DataFrame) -> dict[str, list[str]]:
    """The conditions of costs in which rows differ."""
    return {key: found for key, found in cost_values(rows).items() if len(found) > 1}


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
        f"{place} is split: the scores of its runs are not comparable. "
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
