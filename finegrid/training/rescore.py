"""The scores of a run once more, from its stored predictions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import ValidationError

from finegrid.records.result import PREDICTIONS_FILE, RESULT_FILE, Metrics, Result, Score
from finegrid.training.evaluation import UndefinedScoreError, compute
from finegrid.training.trivial import constant_score

TOLERANCE = 1e-12
_COLUMNS = ["split", "id", "label", "prediction", "logits"]


@dataclass(frozen=True)
class Rescored:
    """How a run's record and its predictions agree."""

    scores: int
    """The scores of the record that were computed again."""
    problems: tuple[str, ...]
    """Every disagreement, and what is missing or damaged."""


def rescore(folder: Path) -> Rescored:
    """Compute every score of a run's record again, from the predictions beside it.

    The decisions are made again from the logits. A score agrees where it is the same to 1e-12 on
    as many examples. The splits are those that the record has. Every file whose hash it names is
    compared with that hash first. Raises OSError where there is no record.
    """
    try:
        result = Result.read(folder / RESULT_FILE)
    except ValidationError as error:
        return Rescored(0, (f"{RESULT_FILE}: {_first(error)}",))
    damage = tuple(result.damaged_files(folder))
    if result.metrics is None or any(text.startswith(PREDICTIONS_FILE) for text in damage):
        return Rescored(0, damage)
    try:
        table = pd.read_parquet(folder / PREDICTIONS_FILE, columns=_COLUMNS)
    except FileNotFoundError:
        return Rescored(0, (*damage, f"{PREDICTIONS_FILE} is missing"))
    except (OSError, ValueError, pa.ArrowException) as error:
        return Rescored(0, (*damage, f"{PREDICTIONS_FILE}: {' '.join(str(error).split())}"))
    recorded = _recorded(result.metrics)
    problems = (*damage, *_wrong_trivial(result.metrics, table), *_problems(recorded, table))
    return Rescored(sum(map(len, recorded.values())), problems)


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'the record'}: {problem['msg']}"


def _recorded(metrics: Metrics) -> dict[str, dict[str, Score]]:
    """Split -> its scores by metric, for the splits that were scored."""
    splits = {"validation": metrics.validation, "test": metrics.test}
    return {name: scores for name, scores in splits.items() if scores}


def _problems(recorded: Mapping[str, Mapping[str, Score]], table: pd.DataFrame) -> Iterator[str]:
    for split, scores in recorded.items():
        rows = table[table["split"] == split]
        if rows.empty:
            yield f"{split}: no predictions"
            continue
        try:
            decisions, labels = _decisions(rows), rows["label"].to_numpy()
        except ValueError as error:
            yield f"{split}: {error}"
            continue
        yield from _wrong_decisions(split, rows, decisions)
        for name, score in scores.items():
            yield from _wrong_score(f"{split} {name}", score, _again(name, decisions, labels))


def _wrong_trivial(metrics: Metrics, table: pd.DataFrame) -> Iterator[str]:
    """Where the trivial predictor's scores are not those of its one prediction."""
    trivial = metrics.trivial
    labels = table.loc[table["split"] == "test", "label"].to_numpy()
    if trivial is None or not len(labels):
        return
    is_class = trivial.predictor == "majority class"
    kind = np.int64 if is_class else np.float64
    for name, score in trivial.test.items():
        again = constant_score(name, kind(trivial.prediction).item(), labels.astype(kind).tolist())
        if score is None or again is None:
            if score != again:
                yield f"trivial {name}: recorded {score}, again {again}"
            continue
        yield from _wrong_score(f"trivial {name}", score, again)


def _decisions(rows: pd.DataFrame) -> Any:
    """The class of the largest logit, or the single output of a regression, an example each.

    Raises ValueError where the logits are no table of finite numbers.
    """
    if rows["logits"].isna().any():
        raise ValueError("logits are missing")
    logits = np.stack(rows["logits"].to_list()).astype(float)
    if not np.isfinite(logits).all():
        raise ValueError("a logit is no finite number")
    return logits[:, 0] if logits.shape[1] == 1 else logits.argmax(axis=1)


def _wrong_decisions(split: str, rows: pd.DataFrame, decisions: Any) -> Iterator[str]:
    wrong = rows["id"][rows["prediction"].to_numpy() != decisions]
    if len(wrong):
        yield (
            f"{split}: {len(wrong)} of {len(rows)} predictions are not what their logits decide, "
            f"the first that of {wrong.iloc[0]}"
        )


def _again(name: str, decisions: Any, labels: Any) -> Score | str:
    """The score, or why there is none."""
    try:
        return compute(name, decisions.tolist(), labels.astype(decisions.dtype).tolist())
    except (UndefinedScoreError, ValueError) as error:
        return str(error)


def _wrong_score(what: str, recorded: Score, again: Score | str) -> Iterator[str]:
    if isinstance(again, str):
        yield f"{what}: recorded {recorded.value!r}, again: {again}"
    elif again.n != recorded.n:
        yield f"{what}: recorded on {recorded.n} examples, predictions hold {again.n}"
    elif abs(again.value - recorded.value) > TOLERANCE:
        yield f"{what}: recorded {recorded.value!r}, again {again.value!r}"
