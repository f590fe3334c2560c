"""The scores of a run once more, from its stored predictions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import ValidationError

from finegrid.records.registry import UnknownNameError
from finegrid.records.result import PREDICTIONS_FILE, RESULT_FILE, Metrics, Result, Score
from finegrid.training.evaluation import UndefinedScoreError, compute_rows
from finegrid.training.trivial import constant_score
from kinds.contract import Output, Row
from tasks.registry import kind_of

TOLERANCE = 1e-12


@dataclass(frozen=True)
class Rescored:
    """How a run's record and its predictions agree."""

    scores: int
    """The scores of the record that were computed again."""
    problems: tuple[str, ...]
    """Every disagreement, and what is missing or damaged."""


def rescore(folder: Path) -> Rescored:
    """Compute every score of a run's record again, from the predictions beside it.

    Predictions are decided again from what is stored of what the model said. A score agrees where
    it is the same to 1e-12 on as many examples. The splits are those that the record has. Every
    file whose hash it names is compared with that hash first. Raises OSError where there is no
    record.
    """
    try:
        result = Result.read(folder / RESULT_FILE)
    except ValidationError as error:
        return Rescored(0, (f"{RESULT_FILE}: {_first(error)}",))
    damage = tuple(result.damaged_files(folder))
    if result.metrics is None or any(text.startswith(PREDICTIONS_FILE) for text in damage):
        return Rescored(0, damage)
    try:
        output = kind_of(result.spec.task).output
    except (UnknownNameError, ValidationError) as error:
        return Rescored(0, (*damage, " ".join(str(error).split())))
    columns = ["split", "id", *output.predicted().names]
    try:
        table = pd.read_parquet(folder / PREDICTIONS_FILE, columns=columns)
    except FileNotFoundError:
        return Rescored(0, (*damage, f"{PREDICTIONS_FILE} is missing"))
    except (OSError, ValueError, pa.ArrowException) as error:
        return Rescored(0, (*damage, f"{PREDICTIONS_FILE}: {' '.join(str(error).split())}"))
    recorded = _recorded(result.metrics)
    problems = (
        *damage,
        *_wrong_trivial(result.metrics, table, output),
        *_problems(recorded, table, output),
    )
    return Rescored(sum(map(len, recorded.values())), problems)


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'the record'}: {problem['msg']}"


def _recorded(metrics: Metrics) -> dict[str, dict[str, Score]]:
    """Split -> its scores by metric, for the splits that were scored."""
    splits = {"validation": metrics.validation, "test": metrics.test}
    return {name: scores for name, scores in splits.items() if scores}


def _problems(
    recorded: Mapping[str, Mapping[str, Score]], table: pd.DataFrame, output: Output
) -> Iterator[str]:
    for split, scores in recorded.items():
        rows = _rows(table, split)
        if not rows:
            yield f"{split}: no predictions"
            continue
        try:
            decisions = output.decide(rows)
        except ValueError as error:
            yield f"{split}: {error}"
            continue
        yield from _wrong_decisions(split, rows, decisions)
        again = [row | one for row, one in zip(output.restored(rows), decisions, strict=True)]
        for name, score in scores.items():
            yield from _wrong_score(f"{split} {name}", score, _again(name, again))


def _rows(table: pd.DataFrame, split: str) -> list[Row]:
    """The rows of a split in plain values; None stands where there is none."""
    found = table[table["split"] == split]
    plain = found.astype(object).where(found.notna(), None)
    rows = cast("list[Row]", plain.to_dict("records"))
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    """A list as Python has it."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def _wrong_trivial(metrics: Metrics, table: pd.DataFrame, output: Output) -> Iterator[str]:
    """Where the trivial predictor's scores are not those of its one prediction."""
    trivial, rows = metrics.trivial, _rows(table, "test")
    if trivial is None or not rows:
        return
    truths = output.restored([row | {"prediction": trivial.prediction} for row in rows])
    for name, score in trivial.test.items():
        again = constant_score(name, truths[0]["prediction"], truths)
        if score is None or again is None:
            if score != again:
                yield f"trivial {name}: recorded {score}, again {again}"
            continue
        yield from _wrong_score(f"trivial {name}", score, again)


def _wrong_decisions(split: str, rows: list[Row], decisions: list[Row]) -> Iterator[str]:
    pairs = zip(rows, decisions, strict=True)
    wrong = [row["id"] for row, decided in pairs if row | decided != row]
    if wrong:
        yield (
            f"{split}: {len(wrong)} of {len(rows)} predictions are not what their outputs decide, "
            f"the first that of {wrong[0]}"
        )


def _again(name: str, rows: list[Row]) -> Score | str:
    """The score, or why there is none."""
    try:
        return compute_rows(name, rows)
    except (UndefinedScoreError, ValueError) as error:
        return str(error)


def _wrong_score(what: str, recorded: Score, again: Score | str) -> Iterator[str]:
    if isinstance(again, str):
        yield f"{what}: recorded {recorded.value!r}, again: {again}"
    elif again.n != recorded.n:
        yield f"{what}: recorded on {recorded.n} examples, predictions hold {again.n}"
    elif abs(again.value - recorded.value) > TOLERANCE:
        yield f"{what}: recorded {recorded.value!r}, again {again.value!r}"
