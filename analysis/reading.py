"""Records, read from their files: what is none is named, and what is damaged is set aside."""

import reprlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from analysis.errors import AnalysisError
from finegrid.records.base import Record
from finegrid.records.quarantine import quarantine
from finegrid.records.result import HISTORY_FILE, PREDICTIONS_FILE, Result, is_as_written

R = TypeVar("R", bound=Record)


def read_record(kind: type[R], path: Path) -> R:
    """The record in a file. Raises AnalysisError that names the file, or OSError."""
    content = path.read_bytes()
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        damaged = [] if is_as_written(content) else [path]
        raise AnalysisError(f"{path}: {_first(error)}", damaged) from error


def read_results(paths: Iterable[Path]) -> dict[str, Result]:
    """Run -> record. Raises AnalysisError that names, a line each, the files that hold no record.

    Nor may a file hold the record of another run than its folder's: it is a copy.
    """
    found, problems = {}, []
    for path in paths:
        try:
            found[path.parent.name] = _own_result(path)
        except AnalysisError as error:
            problems.append(error)
    if problems:
        raise AnalysisError.of(problems)
    return found


def check_files(result: Result, path: Path) -> None:
    """Refuse what has changed of the files beside a record that curves and statistics are made of.

    Where one is not there, they are done without. The delta, which may be large, is not read.
    Raises AnalysisError.
    """
    folder = path.parent
    present = [name for name in (HISTORY_FILE, PREDICTIONS_FILE) if (folder / name).exists()]
    damaged = {name: text for name in present for text in result.damaged_files(folder, [name])}
    if damaged:
        lines = "\n".join(f"{folder}/{text}" for text in damaged.values())
        raise AnalysisError(lines, [*(folder / name for name in damaged), path])


def set_aside(damaged: Sequence[Path]) -> Iterator[str]:
    """Move the damaged files of runs into quarantine; a line for each.

    Without its record a run is made again.
    """
    for path in damaged:
        moved = quarantine(path, path.parent).parent.name
        yield f"{path}: moved to {moved}/; the next call of Snakemake makes the run again"


def _own_result(path: Path) -> Result:
    result = read_record(Result, path)
    if result.run != path.parent.name:
        raise AnalysisError(f"{path}: it is a copy of the record of {result.run}")
    return result


def _first(error: ValidationError) -> str:
    """The first thing that is wrong with a record: where, what, and the value if it is plain."""
    first = error.errors()[0]
    place = ".".join(str(key) for key in first["loc"])
    plain = place and isinstance(first["input"], str | int | float)
    found = f", found {reprlib.repr(first['input'])}" if plain else ""
    return f"{place or 'the record'}: {first['msg']}{found}"
