"""Two runs side by side: what they really differ in, whether they compare, and what came out."""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from analysis.comparability import UNMEASURED, Fields, cost_fields, fingerprint_fields, libraries
from analysis.errors import AnalysisError
from analysis.quantities import NONE, byte_text, count_text, quantity
from analysis.reading import read_record
from finegrid.records.result import (
    FAILURE_FILE,
    RESULT_FILE,
    SPECIFICATION_FILE,
    Metrics,
    Result,
    Score,
)
from finegrid.records.specification import Specification
from finegrid.records.tuning import effective

Split = Literal["validation", "test"]
Table = tuple[str, list[str], list[list[str]]]
"""Title, headers and rows."""


@dataclass(frozen=True)
class Side:
    """A run with its specification, and its record where it has one."""

    run: str
    spec: Specification
    result: Result | None


@dataclass(frozen=True)
class Difference:
    """A key with its value on either side as JSON; None where that side lacks the key."""

    key: str
    left: str | None
    right: str | None


@dataclass(frozen=True)
class Comparison:
    """What two runs differ in."""

    specification: tuple[Difference, ...]
    """Keys of the full specifications, all defaults and tuned values in their places."""
    fingerprint: tuple[Difference, ...]
    """Keys that must agree before two scores are compared."""
    costs: tuple[Difference, ...]
    """Further keys that must agree before memory or time is compared."""
    obstacles: tuple[str, ...]
    """Why the scores are not comparable, and with them the costs; empty if they are."""

    @property
    def verdict(self) -> str:
        """Whether scores and costs are comparable, and why not."""
        if self.obstacles:
            return f"not comparable: {'; '.join(self.obstacles)}"
        if not self.costs:
            return "comparable"
        keys = _keys(self.costs)
        return f"scores are comparable; memory and time are not: these keys differ: {keys}"


def compare(left: Side, right: Side) -> Comparison:
    """The differences of two runs, and whether their results may be compared."""
    unmeasured = [problem for side in (left, right) if (problem := _unmeasured(side))]
    fingerprint, costs = _conditions(left.result, right.result)
    keys = [f"these keys differ: {_keys(fingerprint)}"] if fingerprint else []
    return Comparison(
        specification=_differences(*(dict(_leaves(_effective(side))) for side in (left, right))),
        fingerprint=fingerprint,
        costs=costs,
        obstacles=(*unmeasured, *keys),
    )


def find(name: str, runs: Path) -> Side:
    """The run of that name below the folder `runs`, or at that path.

    A name may be cut short where it stays unique. A path leads to a run's folder or to a record in
    it. Raises AnalysisError where nothing or more than one run is meant, and OSError.
    """
    names = sorted(path.name for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []
    meant = [name] if name in names else [one for one in names if one.startswith(name)]
    if len(meant) == 1:
        return _read(runs / meant[0])
    if meant:
        raise AnalysisError(
            f"run {name!r} may be any of {len(meant)}, such as {meant[0]} and {meant[1]}"
        )
    if Path(name).exists():
        return _read(Path(name))
    beginnings = {one[: len(name)]: one for one in names}
    near = [beginnings[one] for one in difflib.get_close_matches(name, beginnings)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {len(names)} others"
    raise AnalysisError(f"no run {name!r} below {runs}, and no file of that name: {hint}")


def tables(comparison: Comparison, left: Side, right: Side) -> list[Table]:
    """The comparison as tables of text: what differs, and the outcome side by side."""
    headers = ["left", "right"]
    return [
        ("specification", ["key", *headers], _rows(comparison.specification)),
        ("conditions of scores", ["key", *headers], _rows(comparison.fingerprint)),
        ("conditions of memory and time", ["key", *headers], _rows(comparison.costs)),
        (
            "outcome",
            ["", *headers],
            [[name, *map(text, (left.result, right.result))] for name, text in _OUTCOME.items()],
        ),
    ]


def scores_on(split: Split, metrics: Metrics) -> dict[str, Score]:
    """The scores on one split, by metric; none on the test split of a trial."""
    return metrics.validation if split == "validation" else metrics.test


def _read(path: Path) -> Side:
    if path.is_file():
        return _side(path)
    for name in (RESULT_FILE, FAILURE_FILE, SPECIFICATION_FILE):
        if (path / name).exists():
            return _side(path / name)
    raise AnalysisError(
        f"{path} holds neither {RESULT_FILE} nor {FAILURE_FILE} nor {SPECIFICATION_FILE}"
    )


def _side(file: Path) -> Side:
    if file.name == SPECIFICATION_FILE:
        spec = read_record(Specification, file)
        return Side(spec.run, spec, None)
    result = read_record(Result, file)
    return Side(result.run, result.spec, result)


def _effective(side: Side) -> dict[str, Any]:
    """The specification as it was carried out, and how its tuned values were searched."""
    result = side.result
    chosen = result and result.tuning and result.tuning.chosen
    spec = effective(result) if result and chosen else side.spec
    return spec.model_copy(update={"tuning": side.spec.tuning}).model_dump(mode="json")


def _leaves(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of everything that is no mapping."""
    for key, inner in value.items():
        path = f"{above}{key}"
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{path}.")
        else:
            yield path, inner


def _differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> tuple[Difference, ...]:
    """The keys with another value or on one side alone, sorted."""
    texts = [
        {key: json.dumps(value, ensure_ascii=False) for key, value in side.items()}
        for side in (left, right)
    ]
    keys = sorted({*left, *right})
    found = (Difference(key, *(side.get(key) for side in texts)) for key in keys)
    return tuple(one for one in found if one.left != one.right)


def _conditions(
    left: Result | None, right: Result | None
) -> tuple[tuple[Difference, ...], tuple[Difference, ...]]:
    """In which conditions of scores, and of costs, two records differ."""
    if left is None or right is None:
        return (), ()
    brought: list[Fields] = [libraries(left), libraries(right)]
    # a library that only one of them uses parts nothing
    both = [{key: one[key] for key in brought[0].keys() & brought[1].keys()} for one in brought]
    fields = [fingerprint_fields(one) | own for one, own in zip((left, right), both, strict=True)]
    return _differences(*fields), _differences(cost_fields(left), cost_fields(right))


def _keys(differences: tuple[Difference, ...]) -> str:
    return ", ".join(one.key for one in differences)


def _unmeasured(side: Side) -> str | None:
    if side.result is None:
        return f"{side.run} has no result"
    if side.result.state in UNMEASURED:
        return f"{side.run} was not measured: its state is {side.result.state}"
    return None


def _rows(differences: tuple[Difference, ...]) -> list[list[str]]:
    return [[one.key, one.left or NONE, one.right or NONE] for one in differences]


def _state(result: Result | None) -> str:
    if result is None:
        return "no result"
    return f"{result.state}: {result.reason}" if result.reason else result.state


def _score(split: Split, result: Result | None) -> str:
    metrics = result.metrics if result else None
    name = metrics.deciding(split) if metrics else ""
    score = scores_on(split, metrics).get(name) if metrics else None
    if score is None:
        return NONE
    return f"{name} {score.value:.4f} (n={count_text(score.n)})"


def _memory(result: Result | None) -> str:
    if result is None or result.memory is None:
        return f"{NONE} ({result.memory_reason})" if result and result.memory_reason else NONE
    return byte_text(result.memory.peak_training_bytes)


def _seconds(result: Result | None) -> str:
    return quantity(result.time.train_seconds, "s") if result and result.time else NONE


_OUTCOME: dict[str, Callable[[Result | None], str]] = {
    "state": _state,
    "validation": partial(_score, "validation"),
    "test": partial(_score, "test"),
    "peak training memory": _memory,
    "training time": _seconds,
}
