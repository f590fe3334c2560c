"""A task of the user's own files, turned into the registered task that reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue, ValidationError

from finegrid.metrics.registry import METRICS, metric
from finegrid.planning.own_folders import (
    check_columns,
    folder_as_registered,
    folder_of,
    reads_tables,
    remarks_on,
    source_of,
    surveyed_folder,
)
from finegrid.planning.own_paths import Paths, paths_of, source_of_files
from finegrid.planning.schema import Benchmark, TaskEntry
from finegrid.prepare.examined import Examiner
from finegrid.prepare.packed import opened
from finegrid.prepare.sources import SourceError
from finegrid.problems import Location, Problems, dump_settings, refused
from finegrid.records.prepared import SplitName
from finegrid.records.registry import UnknownNameError, unknown_name
from finegrid.records.specification import Source
from kinds.contract import Output
from kinds.registry import KINDS, LABELS, SEVERAL, kind_named, with_labels
from tasks import parallel_texts, sentence_files
from tasks.file_features import FEATURES, check_options
from tasks.file_kinds import Needs, needs_of
from tasks.file_options import Columns, Dropped, OneOrSeveral, SplitFiles, flat
from tasks.file_references import check_references
from tasks.file_rows import Reading
from tasks.files import REGISTERED, split_problem
from tasks.survey import Survey
from tasks.table_files import (
    DELIMITERS,
    ENDINGS,
    PARQUET,
    PLAIN,
    TEXT_FOLDER,
    TMX,
    TableError,
    ending_of,
)

_TEXT, _LABEL, _ = TEXT_FOLDER
_OF_NUMBERS = ("decimal", "missing", "thousands")
"""Keys of `format` that say how numbers are written."""
_OF_TASKS = (LABELS, SEVERAL)
"""What a task says of its kind that is no key of one of own files: other keys decide it."""


class Found(NamedTuple):
    """The registered task that an entry stands for, and the rows of its splits."""

    entry: TaskEntry
    counts: dict[SplitName, int]
    remarks: tuple[str, ...] = ()
    """What its user should know of its files."""


def registered(
    entry: TaskEntry, at: Location, problems: Problems, examiner: Examiner
) -> TaskEntry | None:
    """The entry of a registered task that an entry stands for, with its source and its options.

    One of the user's own files gets its source by content and the labels that it has: every row
    is read, and every whole file looked at by `examiner`. What is wrong with the files is noted,
    and None returned.
    """
    if entry.task is not None:
        return entry
    try:
        return of_files(entry, examiner).entry
    except TableError as error:
        problems.add((*at, *error.key), error.problem)
        return None


def remarks(benchmark: Benchmark, examiner: Examiner) -> Iterator[str]:
    """What the user of a benchmark without problems should know of the files of its tasks."""
    for name, entry in benchmark.tasks.items():
        if entry.task is not None:
            continue
        if entry.format.parallel:
            yield from (f"tasks.{name}: {one}" for one in _left_out(entry))
        if _needs(entry).files or entry.features is not None:
            yield from (f"tasks.{name}: {one}" for one in of_files(entry, examiner).remarks)


def _left_out(entry: TaskEntry) -> Iterator[str]:
    """How many lines of texts side by side are no examples."""
    columns = flat(entry.columns or {})
    counts = parallel_texts.left_out(paths_of(entry), columns, entry.format)
    yield from (f"{split}: {one} {parallel_texts.LEFT_OUT}" for split, one in counts.items())


def of_files(entry: TaskEntry, examiner: Examiner) -> Found:
    """The registered task of an entry whose files lie on this machine. Raises TableError."""
    if _needs(entry).files and not reads_tables(entry):
        place = folder_of(entry)
        return of_folder(entry, place, source_of(place, examiner.hashed), examiner)
    paths = paths_of(entry)
    survey = surveyed(entry, paths, examiner)
    parallel = entry.format.parallel
    source, names = source_of_files(paths, examiner.hashed, parallel=parallel)
    made = as_registered(entry, source, names, survey)
    return Found(made, survey.counts, survey.remarks)


def of_folder(entry: TaskEntry, place: Path, source: Source, examiner: Examiner) -> Found:
    """The registered task of an entry whose files lie below a folder, or in an archive of one.

    Raises TableError.
    """
    _check_truths(entry)
    for key in sorted(entry.format.model_fields_set & {"parallel", *_OF_NUMBERS}):
        problem = "the files are whole examples; allowed: for texts, and for tables of numbers"
        raise TableError(("format", key), problem)
    _check_fit(entry, kind_named(str(entry.kind), _asked(entry)).output)
    check_columns(entry, _needs(entry))
    try:
        with opened(place) as folder:
            survey = surveyed_folder(entry, folder, examiner)
    except SourceError as error:
        raise TableError(("files",), str(error)) from error
    _check_classes(entry, len(survey.names))
    keys = folder_as_registered(entry, source, survey)
    return Found(TaskEntry(**keys), survey.counts, survey.remarks)


def surveyed(entry: TaskEntry, paths: Paths, examiner: Examiner) -> Survey:
    """What the rows at these paths hold, all checked with what the entry says of them.

    Raises TableError.
    """
    if entry.metadata is not None:
        problem = "the files are tables themselves; allowed: for folders of whole files"
        raise TableError(("metadata",), problem)
    columns = _columns(entry, paths)
    files = SplitFiles(**{name: tuple(map(str, found)) for name, found in paths.items()})
    if wrong := split_problem(files, entry.split):
        raise TableError(tuple(wrong[0].split(".")), wrong[1])
    _check_format(entry, paths)
    truths, needs = _check_truths(entry), _needs(entry)
    if entry.references is not None:
        check_references(entry.references, columns, needs)
    kind = KINDS.build(needs.kind, _said(entry))
    given = [name for name, column in columns.items() if column is not None]
    if conflict := kind.conflict(given):
        raise TableError((conflict[0],), conflict[1])
    if entry.features is not None:
        names = [*flat({FEATURES: columns.get(FEATURES)}).values()]
        check_options(entry.features, names, classes=needs.classes)
    reading = Reading(
        columns,
        truths,
        entry.split,
        entry.format,
        _dropped(entry, paths),
        needs.composed,
        files=needs.files,
        examine=partial(examiner.of_content, needs.kind),
        kind=kind,
        references=entry.references,
        features=entry.features,
    )
    try:
        survey = reading.survey(paths, entry.labels)
    except OSError as error:
        problem = f"{error.filename} cannot be read: {error.strerror}"
        raise TableError(("files",), problem) from error
    made = kind_named(needs.kind, with_labels(needs.kind, _options(entry, survey), survey.names))
    _check_fit(entry, made.output)
    _check_classes(entry, len(survey.names) if needs.classes else 0)
    examined = remarks_on(needs.kind, reading.examined)
    return survey._replace(remarks=(*survey.remarks, *examined))


def as_registered(entry: TaskEntry, source: Source, names: SplitFiles, survey: Survey) -> TaskEntry:
    """The entry of the registered task that reads files of these names below a source."""
    paths = {name: tuple(map(Path, files)) for name, files in names.named.items()}
    columns, dropped = _columns(entry, paths), _dropped(entry, paths)
    names_of = _needs(entry).listed(columns)
    asked = _options(entry, survey)
    options: dict[str, JsonValue] = {
        "splits": names.model_dump(mode="json"),
        "columns": {name: _plain(columns.get(name)) for name in names_of},
        "kind": entry.kind,
        "labels": list(survey.names),
        "written": list(survey.written),
        "scores": list(entry.metrics or ()),
        "format": entry.format.model_dump(mode="json"),
        "drop": {name: list(dropped.get(name, ())) for name in names_of},
        "split": entry.split.model_dump(mode="json") if entry.split else None,
        **({"asked": asked} if asked else {}),
        **({"references": entry.references} if entry.references else {}),
        **({"features": survey.features.model_dump(mode="json")} if survey.features else {}),
    }
    return TaskEntry(task=REGISTERED, source=source, options=options)


def _needs(entry: TaskEntry) -> Needs:
    """What the kind of an entry reads. Raises TableError for a kind that is not registered."""
    try:
        return needs_of(str(entry.kind))
    except UnknownNameError as error:
        raise TableError(("kind",), str(error)) from error


def _plain(given: OneOrSeveral) -> JsonValue:
    """Columns as JSON has them."""
    return list(given) if isinstance(given, tuple) else given


def _columns(entry: TaskEntry, paths: Mapping[SplitName, Sequence[Path]]) -> Columns:
    """The columns that an entry names; those of folders of texts need no name."""
    if entry.columns is not None:
        _needs(entry).check(entry.columns)
        return entry.columns
    every = [path for files in paths.values() for path in files]
    if all(map(_is_texts, every)) and not entry.format.parallel:
        return {_TEXT: _TEXT, _LABEL: _LABEL}
    raise TableError(("columns",), "this key is required for files of one's own")


def _is_texts(path: Path) -> bool:
    return ending_of(path.name) not in ENDINGS


def _dropped(entry: TaskEntry, paths: Mapping[SplitName, Sequence[Path]]) -> Dropped:
    """The values to drop; folders of texts with such a label are left out whole."""
    every = (path for files in paths.values() for path in files)
    folders = [path for path in every if _is_texts(path) and not entry.format.parallel]
    return entry.drop | {_LABEL: ()} if folders else entry.drop


def _check_format(entry: TaskEntry, paths: Paths) -> None:
    """Refuse a word on how a file is written where no file is written so."""
    if entry.format.parallel:
        _check_parallel(entry)
        return
    endings = {ending_of(path.name) for files in paths.values() for path in files}
    sentences = endings & {*sentence_files.ENDINGS} or entry.format.sentences
    needs = _needs(entry)
    for key in sorted(entry.format.model_fields_set):
        if key in _OF_NUMBERS and not (needs.numbers or needs.truths == "numbers"):
            problem = f"kind {entry.kind!r} reads no numbers; allowed: no such key"
            raise TableError(("format", key), problem)
        has = key in _OF_NUMBERS or (
            endings & {*DELIMITERS}
            or sentences
            or (key == "encoding" and endings - {"", PARQUET, TMX})
        )
        has = sentences if key == "comments" else has
        if not has and entry.format != PLAIN:
            those = ", ".join(sorted(ending or "a folder of texts" for ending in endings))
            problem = f"no file of {those} has that; allowed: no such key"
            raise TableError(("format", key), problem)


def _check_parallel(entry: TaskEntry) -> None:
    """Refuse what lines of texts side by side do not have: a header, columns of groups."""
    if _needs(entry).files:
        problem = f"kind {entry.kind!r} reads whole files; allowed: for kinds of texts"
        raise TableError(("format", "parallel"), problem)
    for key in sorted(entry.format.model_fields_set - {"parallel", "encoding"}):
        problem = "a line of texts side by side has one value; allowed beside parallel: encoding"
        raise TableError(("format", key), problem)
    for key in ("group", "column"):
        if entry.split is not None and getattr(entry.split, key) is not None:
            problem = "texts side by side have no column beside; allowed: no such key"
            raise TableError(("split", key), problem)


def _asked(entry: TaskEntry) -> dict[str, JsonValue]:
    """What the kind is made with, defaults filled in; {} for one that leaves nothing open.

    Raises TableError.
    """
    name, given = str(entry.kind), entry.of_kind
    every = [one.name for one in fields(KINDS.get(name))]  # type: ignore[arg-type]
    known = [one for one in every if one not in _OF_TASKS]
    if entry.references is not None and SEVERAL not in every:
        raise TableError(("references",), f"allowed for kind {name!r}: no such key")
    for key in given:
        if key not in known:
            allowed = f"allowed for kind {name!r}: {', '.join(known) or 'no such key'}"
            raise TableError((key,), allowed)
    try:
        made = dump_settings(KINDS.build(name, given))
        return {key: value for key, value in made.items() if key in known}
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(map(str, first["loc"]))
        raise TableError(place, refused(first["input"], str(first["msg"]))) from error


def _said(entry: TaskEntry) -> dict[str, JsonValue]:
    """What the kind is made with, `references` of the entry counted."""
    return _asked(entry) | ({SEVERAL: True} if entry.references else {})


def _options(entry: TaskEntry, survey: Survey) -> dict[str, JsonValue]:
    """The same, with what the rows decide."""
    return _asked(entry) | dict(survey.found)


def _check_features(entry: TaskEntry) -> None:
    """Refuse keys of columns of numbers where a kind reads none, or without each other."""
    if entry.features is not None and not _needs(entry).numbers:
        allowed = f"kind {entry.kind!r} reads no rows of numbers; allowed: no such key"
        raise TableError((FEATURES,), allowed)
    if entry.format.missing and entry.features is None:
        raise TableError(("format", "missing"), f"allowed: beside {FEATURES}, which says of them")


def _check_truths(entry: TaskEntry) -> str:
    """What is true of a row; names of classes, and metrics, have to be for that."""
    _check_features(entry)
    truths = _needs(entry).truths
    if entry.labels is not None and not _needs(entry).named:
        raise TableError(("labels",), f"kind {entry.kind!r} has no classes; allowed: no such key")
    _asked(entry)
    _check_metrics(entry)
    return truths


def _check_metrics(entry: TaskEntry) -> None:
    """Refuse metrics that are not known, and one that stands twice."""
    for name in entry.metrics or ():
        if name not in METRICS:
            raise TableError(("metrics",), unknown_name("metric", name, list(METRICS)))
        if (entry.metrics or ()).count(name) > 1:
            raise TableError(("metrics",), f"{name!r} stands twice; allowed: once")


def _check_fit(entry: TaskEntry, output: Output) -> None:
    """Refuse metrics of something else than what is true, or of what predictions do not hold."""
    has = {*output.predicted().names}
    own = [name for name in METRICS if METRICS.get(name).is_defined_on(output.truths)]
    fit = [name for name in own if has >= {*metric(name).columns}]
    for name in entry.metrics or ():
        if name in fit:
            continue
        why = f"kind {entry.kind!r} has {output.truths}"
        if name in own:
            lacking = ", ".join(sorted({*metric(name).columns} - has))
            why = f"it reads {lacking}, which no prediction of this task has"
        raise TableError(("metrics",), refused(name, f"{why}; allowed: {', '.join(fit)}"))


def _check_classes(entry: TaskEntry, classes: int) -> None:
    """Refuse metrics that are not defined on so many classes, by what they say themselves."""
    if not classes or not entry.metrics:
        return
    import pyarrow as pa

    each = list(range(classes))
    for name in entry.metrics:
        try:
            metric(name).statistics(pa.table({"label": each, "prediction": each}))
        except ValueError as error:
            problem = f"the task has {classes} classes, and {error}"
            raise TableError(("metrics",), problem) from error
