"""The start of a benchmark: a file on one's own data and model, from a template."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from finegrid.planning.guess import LENGTHS, Guess, GuessError, Options, guess, text_kind
from finegrid.planning.guess_folder import guess_folder
from finegrid.planning.guess_numbers import guess_numbers
from finegrid.planning.guess_parallel import guess_memory, guess_parallel
from finegrid.planning.guess_stored import guess_stored
from finegrid.planning.lock import HUB
from finegrid.planning.locking import fetched_data, fetched_folder
from finegrid.planning.own_files import of_files
from finegrid.planning.own_paths import paths_of
from finegrid.planning.schema import FilesEntry, TaskEntry
from finegrid.prepare.examined import Examiner
from finegrid.prepare.gguf_file import GGUF_END
from finegrid.prepare.hub import HubError
from finegrid.prepare.model import CONFIGURATION_FILE
from finegrid.prepare.packed import is_packed, opened
from finegrid.prepare.sources import SourceError
from finegrid.records.specification import ONNX_END
from finegrid.records.write import write_text
from tasks.file_kinds import needs_of
from tasks.registry import TASKS
from tasks.table_files import TMX, TableError, ending_of, stored_files

TEMPLATE = Path(__file__).with_name("benchmark.yaml.template")
NUMBERS_TEMPLATE = Path(__file__).with_name("numbers.yaml.template")
_HIDDEN = (64, 64)
"""The layers of a plain stack between those of inputs and outputs."""
_RANK = 8
"""Of an update of a layer, where the layer is as wide."""
_PLAIN = re.compile(r"[A-Za-z_./~]([\w./~:-]*[\w./~-])?")
_OPTIONS = {
    "format.encoding that names": "--encoding that names",
    "format.quotes: false": "--no-quotes",
    "format.parallel: true with all files of the split": "the folder of all files",
}
_POSITIONS = ("max_position_embeddings", "n_positions")
_YAML_WORDS = ("null", "true", "false", "~")


class InitError(Exception):
    """Why no benchmark can be written of this data and this model."""


class Written(NamedTuple):
    """The file that was written, and what was guessed."""

    file: Path
    reasons: tuple[str, ...]
    needs_lock: bool


def write_benchmark(
    data: str, model: str | None, given: Options, output: Path | None, examiner: Examiner
) -> Written:
    """Write a benchmark on data, a file, a folder or `hub:...`, and a model.

    Whole files are looked at by `examiner`. Raises InitError, OSError.
    """
    name = _name(data)
    file = output or Path(f"{name}.yaml")
    if file.suffix not in (".yaml", ".yml"):
        raise InitError(
            f"--output: {str(file)!r} is not allowed; allowed: a name that ends in .yaml"
        )
    if file.exists():
        raise InitError(f"{file} exists already; allowed: another name, by --output")
    uri = None if model is None else _model_uri(model)
    try:
        found = _guessed(data, model, given, examiner)
    except (TableError, GuessError, HubError, SourceError) as error:
        raise InitError(f"{data}: {_in_options(error)}") from error
    shared = {
        "data": _shown(data),
        "reasons": "".join(f"# - {_shown(reason)}\n" for reason in found.reasons),
        "name": _name(file.stem),
        "task": name,
        "entry": _lines(_keys(data, found)),
    }
    if needs_of(found.kind).numbers:
        text = _of_numbers(data, model, found, shared, examiner)
    else:
        text = _of_model(model, uri, found, shared)
    write_text(file, text)
    return Written(file, found.reasons, any(one.startswith(HUB) for one in (data, uri or "")))


def _of_model(model: str | None, uri: str | None, found: Guess, shared: dict[str, str]) -> str:
    """A benchmark on a model of its user's. Raises InitError where none is named."""
    if model is None or uri is None:
        allowed = f"allowed: a folder with {CONFIGURATION_FILE}, or hub:<owner>/<name>"
        raise InitError(f"model: this argument is required for kind {found.kind!r}; {allowed}")
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        shared,
        model=_shown(model),
        name_of_model=_name(model),
        uri=_scalar(uri),
        max_length=_length(found, uri),
    )


def _of_numbers(
    data: str, model: str | None, found: Guess, shared: dict[str, str], examiner: Examiner
) -> str:
    """A benchmark on a plain stack of layers. Raises InitError where a model is named."""
    if model is not None or data.startswith(HUB):
        problem = f"rows of numbers, of kind {found.kind!r}, are read by a plain stack of layers"
        raise InitError(f"{problem}; allowed: a file on this machine, and no model")
    try:
        entry = TaskEntry.model_validate_json(json.dumps(_keys(data, found)))
        made = of_files(entry, examiner).entry
    except TableError as error:
        raise InitError(f"{data}: {'.'.join(error.key)}: {_in_options(error)}") from error
    task = TASKS.build(str(made.task), made.options)
    if task.input_size is None:
        raise TypeError("rows of numbers have a size")
    layers = [task.input_size, *_HIDDEN, max(len(task.labels), 1)]
    template = Template(NUMBERS_TEMPLATE.read_text(encoding="utf-8"))
    rank = min(_RANK, task.input_size)
    return template.substitute(shared, layers=_flow(layers), rank=rank)


def _length(found: Guess, uri: str) -> str:
    """The line of the template that cuts examples, if they are cut."""
    if found.max_length is None:
        return ""
    return f"\n      max_length: {min(found.max_length, _longest(uri))}"


def _guessed(data: str, model: str | None, given: Options, examiner: Examiner) -> Guess:
    if found := _guessed_folder(data, given, examiner):
        return found
    folder = Path(data).expanduser()
    if folder.is_dir() and (side_by_side := guess_parallel(folder, given)):
        return side_by_side
    entry = TaskEntry(kind=text_kind(classes=True), files=FilesEntry(path=data))
    paths = fetched_data(entry, data).paths if data.startswith(HUB) else paths_of(entry)
    if stored := stored_files(paths["train"][0]):
        return guess_stored(paths, stored, given, examiner)
    if ending_of(paths["train"][0].name) == TMX:
        return guess_memory(paths, given)
    of_numbers = None
    if model is None or given.kind is not None:
        of_numbers = guess_numbers(paths, given)
    return of_numbers or guess(paths, given)


def _guessed_folder(data: str, given: Options, examiner: Examiner) -> Guess | None:
    """The guess for a folder of whole files, an archive of one, or one of the Hub; else None."""
    if data.startswith(HUB):
        fetched = fetched_folder(data)
        place = fetched.path if fetched else None
    else:
        place = Path(data).expanduser()
    if place is None or not (place.is_dir() or (place.is_file() and is_packed(place.name))):
        return None
    with opened(place) as folder:
        return guess_folder(folder, given, examiner)


def _in_options(error: Exception) -> str:
    """A problem in the words of options, in place of a benchmark's keys."""
    problem = error.problem if isinstance(error, TableError) else str(error)
    for key, option in _OPTIONS.items():
        problem = problem.replace(key, option)
    return problem


def _model_uri(model: str) -> str:
    """The short form of a model. Raises InitError for a folder that is none."""
    if model.startswith((HUB, "path:", "package:")):
        return model
    folder = Path(model).expanduser()
    if not (folder / CONFIGURATION_FILE).is_file():
        raise InitError(f"model: {model!r} {_no_model(folder)}")
    return f"path:{model.rstrip('/')}"


def _no_model(folder: Path) -> str:
    """Why a folder is no model, and what is allowed."""
    what = f"has no {CONFIGURATION_FILE}" if folder.is_dir() else "is no folder"
    allowed = f"a folder with {CONFIGURATION_FILE}, weights and tokenizer, or hub:<owner>/<name>"
    ends = (GGUF_END, ONNX_END)
    files = sorted(one.name for one in folder.glob("*") if one.suffix in ends)
    if not files:
        return f"{what}; allowed: {allowed}"
    by_hand = "a benchmark of your own whose model has a configuration, as config/README.md shows"
    return f"{what}, which {files[0]} does not replace; allowed: {allowed}, or {by_hand}"


def _longest(uri: str) -> int:
    """The usual length that a model of this machine has positions for, as its configuration says.

    Planning holds the exact number against `max_length`.
    """
    file = Path(uri.partition(":")[2]).expanduser() / CONFIGURATION_FILE
    if not uri.startswith("path:") or not file.is_file():
        return LENGTHS[-1]
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return LENGTHS[-1]  # planning says what is wrong with it
    named = (content.get(key) for key in _POSITIONS) if isinstance(content, dict) else ()
    known = [count for count in named if isinstance(count, int)]
    return max((length for length in LENGTHS if length <= min(known, default=length)), default=1)


def _keys(data: str, found: Guess) -> dict[str, Any]:
    """The task's entry."""
    keys: dict[str, Any] = {"kind": found.kind, "files": data}
    if found.metadata is not None:
        keys["metadata"] = found.metadata
    if found.columns is not None:
        keys["columns"] = {key: name for key, name in found.columns.items() if name is not None}
    keys |= found.asked
    if how := found.how.model_dump(exclude_defaults=True):
        keys["format"] = how
    if found.dropped:
        keys["drop"] = {"label": list(found.dropped)}
    if split := found.divided | found.shares:
        keys["split"] = split
    return keys


def _lines(keys: dict[str, Any]) -> str:
    """A line a key."""
    return "\n".join(f"    {key}: {_flow(value)}" for key, value in keys.items())


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """A value as YAML, in quotes where it would be read as something else."""
    plain = isinstance(value, str) and _PLAIN.fullmatch(value)
    if plain and value.lower() not in _YAML_WORDS:
        return str(value)
    text = json.dumps(value, ensure_ascii=False)
    # YAML would take some signs that JSON leaves as they are for the end of a line.
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in text)


def _shown(text: str) -> str:
    """A text as it may stand in a comment."""
    return text if text.isprintable() else repr(text)


def _name(source: str) -> str:
    """A name made of that of a file, a folder or a repository."""
    last = source.rstrip("/").rpartition(":")[2].rpartition("/")[2]
    stem = re.sub(
        r"\.(csv|tsv|txt|json|jsonl|ndjson|parquet|conllup?|conll|iob2?|bio|tmx|ya?ml|zip|tgz|tar)(\.gz|\.bz2|\.xz)?$",
        "",
        last.lower(),
    )
    return re.sub(r"[^a-z0-9._-]+", "-", stem).lstrip("._-")[:40] or "mine"
