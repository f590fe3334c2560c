"""What a table of texts is likely to be: its kind, its columns, its splits, and why."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from finegrid.planning.guess_answers import guess_answers, repeated_contexts
from finegrid.planning.guess_columns import (
    FEW_CLASSES,
    MOST_CLASSES,
    NUMBER,
    TEXT_WORDS,
    ByName,
    Column,
    columns_of,
    named,
)
from finegrid.planning.guess_columns import GuessError as GuessError
from finegrid.planning.guess_format import guess_format
from finegrid.planning.guess_spans import guess_spans
from finegrid.planning.guess_tags import TaggedWords, guess_tags
from finegrid.planning.guess_texts import answers_yes_or_no, guess_texts, said_texts, writing
from finegrid.planning.own_paths import Paths
from finegrid.records.prepared import SplitName
from kinds.registry import KINDS, kind_named
from tasks.file_kinds import kind_reading, kinds_like, needs_of
from tasks.file_options import Columns
from tasks.table_files import (
    Format,
    column_names,
    read_rows,
)

_LABELS = (
    *("label", "labels", "goldlabel", "target", "class", "classindex", "category", "sentiment"),
    *("stars", "rating", "overall", "score", "polarity", "intent", "emotion", "topic", "v1", "y"),
)
TEXTS = (
    *("text", "sentence", "review", "reviewtext", "reviewbody", "content", "body", "comment"),
    *("commenttext", "tweet", "message", "document", "question", "description", "title", "v2"),
)
_PAIRS = (
    *(("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2")),
    *(("question", "sentence"), ("text1", "text2"), ("texta", "textb"), ("query", "passage")),
    *(("question", "passage"), ("question", "context")),
)
GROUPS = ("user", "userid", "author", "authorid", "reviewerid", "patientid", "groupid")
_INSTRUCTION, _CONTEXT, _INPUT = "instruction", "context", "input"
"""What is answered whatever classes a row has, and what adds to it in Dolly and in Alpaca."""
_TRANSLATION = "translation."
"""What a text of each language is called in the Hub's data sets of translations."""
LENGTHS = (32, 64, 128, 256, 512)
_TOKENS_A_WORD = 1.4
_SHARES: Mapping[SplitName, float] = {"validation": 0.1, "test": 0.2}


class Options(NamedTuple):
    """What its user says of the data; None is guessed."""

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    kind: str | None = None
    encoding: str | None = None
    quotes: bool = True
    decimal: str | None = None
    """What stands before the decimals of numbers."""


@dataclass(frozen=True)
class Guess:
    """What a task's entry says of its files, and the reasons."""

    kind: str
    columns: Columns | None
    """None where files lie in folders of their labels."""
    how: Format
    dropped: tuple[str, ...]
    """Labels that say that there is none."""
    shares: dict[SplitName, float]
    max_length: int | None
    """None where examples are not cut."""
    reasons: tuple[str, ...]
    asked: dict[str, JsonValue] = field(default_factory=dict)
    """What the entry says of the kind, and of rows to drop."""
    metadata: dict[str, JsonValue] | None = None
    """The tables that name the files of a folder."""
    divided: dict[str, JsonValue] = field(default_factory=dict)
    """What the entry says of splits beside shares."""


def guess(paths: Paths, given: Options) -> Guess:
    """The guess for a task on these files. Raises GuessError, TableError, OSError."""
    path = paths["train"][0]
    how = Format(encoding=given.encoding, quotes=given.quotes)
    reasons: list[str] = []
    if path.is_dir():
        columns: Columns | None = None
        dropped: tuple[str, ...] = ()
        kind = text_kind(classes=True)
        texts = _of_folders(paths["train"])
        reasons.append("each label is the folder of its texts")
    else:
        how = guess_format(path, how, reasons)
        said = given.text, given.label, given.kind
        if given.pair is None:
            tagged = guess_tags(paths["train"], how, *said)
            if tagged := tagged or guess_spans(paths["train"], how, *said):
                return _of_tags(tagged, how, paths, reasons)
        found = columns_of(paths["train"], how)
        if answers := _answers(found, paths, how, given):
            return _of_texts(answers, found, how, paths, reasons)
        if written := _written(found, paths["train"], how, given):
            return _of_texts(written, found, how, paths, reasons)
        _check_kind(given.kind)
        texts, label = _texts(found, given, reasons), label_of(found, given, reasons)
        kind = given.kind or _kind(label, reasons)
        check_labels(label.name, paths, how)
        pair = texts[1].name if len(texts) > 1 else None
        dropped = _no_labels(label, reasons) if needs_of(kind).classes else ()
        columns = {"text": texts[0].name, "text_pair": pair, "label": label.name}
        reasons += _remarks(found)
    shares = shares_of(paths, reasons)
    return Guess(kind, columns, how, dropped, shares, length_of(texts, reasons), tuple(reasons))


def _written(
    columns: Sequence[Column], files: Sequence[Path], how: Format, given: Options
) -> ByName | None:
    """The guess that texts follow from others, unless labels are named or asked for."""
    labelled = any(column.key in _LABELS and column.may_be_classes for column in columns)
    labelled = labelled and not any(column.key == _INSTRUCTION for column in columns)
    labelled = labelled or answers_yes_or_no(columns)
    found = None
    if given.text is None and given.label is None and (given.kind is not None or not labelled):
        keys = {column.key: column.name for column in [*columns, *_known_by(columns)]}
        found = guess_texts(keys, given.kind, files, how)
    if found is None and given.kind is not None and needs_of(given.kind) in writing():
        return said_texts(columns, given.kind, given.text, given.label)
    return found


def _known_by(columns: Sequence[Column]) -> list[Column]:
    """Columns by the usual names of what they hold: a source and its target, or an input."""
    keys = {column.key: column for column in columns}
    if {_INSTRUCTION, _CONTEXT} <= keys.keys() and _INPUT not in keys:
        return [replace(keys[_CONTEXT], known_as=_INPUT)]
    names = zip(("source", "target"), _side_by_side(columns), strict=False)
    return [replace(column, known_as=name) for name, column in names]


def _side_by_side(columns: Sequence[Column]) -> list[Column]:
    """The two languages of a translation, or two columns of texts without a name; or none."""
    found = [column for column in columns if str(column.name).startswith(_TRANSLATION)]
    if not found and not any(column.may_be_classes for column in columns):
        texts = (column for column in columns if column.mean_words >= TEXT_WORDS)
        found = [column for column in texts if isinstance(column.name, int)][:2]
    return found if len(found) == 2 else []


def _of_tags(tagged: TaggedWords, how: Format, paths: Paths, reasons: list[str]) -> Guess:
    reasons += tagged.reasons
    shares = shares_of(paths, reasons)
    length = length_of([Column("words", words=tagged.words)], reasons)
    columns: Columns = dict(tagged.columns)
    said = (tagged.kind, columns, how, (), shares, length, tuple(reasons))
    return Guess(*said, dict(tagged.asked))


def _answers(columns: Sequence[Column], paths: Paths, how: Format, given: Options) -> ByName | None:
    """The guess that questions have choices, or answers in a context, unless a text is named."""
    if given.text is not None or given.label is not None:
        return None
    return guess_answers({column.key: column.name for column in columns}, paths, how, given.kind)


def _of_texts(
    written: ByName,
    columns: Sequence[Column],
    how: Format,
    paths: Paths,
    reasons: list[str],
) -> Guess:
    reasons += [*written.reasons, *_remarks(columns)]
    shares = shares_of(paths, reasons)
    reasons += _others(written.kind, columns)
    texts = [column for column in columns if column.name in written.names]
    if written.words:
        texts.append(Column("references", words=[*written.words]))
    length = length_of(texts, reasons) if texts else LENGTHS[-1]
    said = (written.kind, written.columns, how, (), shares, length, tuple(reasons))
    return _with_groups(Guess(*said, written.asked), paths)


def _with_groups(found: Guess, paths: Paths) -> Guess:
    """The same guess, and that questions on one context are in one split, where there are such."""
    columns = found.columns or {}
    if not found.shares or not (why := repeated_contexts(columns, paths["train"], found.how)):
        return found
    reasons = (*found.reasons, f"split.group: those on one are in one split, for {why}")
    return replace(found, divided={"group": str(columns["context"])}, reasons=reasons)


def _others(kind: str, columns: Sequence[Column]) -> list[str]:
    """What else is so of texts that are written: their columns, where usual names are not theirs.

    Other kinds of models write texts, too.
    """
    if not (others := other_kinds(kind)):
        return []
    known = [f"{column.known_as}: {column.name}" for column in _known_by(columns)]
    return [*others, f"{', '.join(known)}, by what the columns hold"] if known else others


def other_kinds(kind: str) -> list[str]:
    """That other kinds of models write texts, too, where those of a kind do."""
    if (truths := needs_of(kind).truths) != "texts":
        return []
    names = ", ".join(name for name in KINDS if name != kind and needs_of(name).truths == truths)
    return [f"kind: {names} is for models of another architecture that write: --kind"]


def _of_folders(folders: Sequence[Path]) -> list[Column]:
    text = Column("text")
    for folder in folders:
        for _, (value,) in read_rows(folder, {"text": "text"}, "train"):
            text.add(value)
    return [text]


def check_labels(label: str | int, paths: Paths, how: Format) -> None:
    """Refuse a file without the labels, as those to be predicted for a contest. Raises GuessError.

    Raises TableError and OSError, too.
    """
    for path in (one for split, files in paths.items() if split != "train" for one in files):
        if not path.is_dir() and label not in column_names(path, "train", how):
            allowed = f"the training file alone, {paths['train'][0]}, of which rows are held out"
            raise GuessError(f"{path.name} has no column {label!r} to score by; allowed: {allowed}")


def _texts(columns: list[Column], given: Options, reasons: list[str]) -> list[Column]:
    """The column of the text, or those of a pair."""
    if given.text is not None:
        pair = [named(columns, given.pair, "--pair")] if given.pair is not None else []
        return [named(columns, given.text, "--text"), *pair]
    if given.pair is not None:
        raise GuessError("--pair: goes with --text; allowed: both")
    keys = {column.key: column for column in columns}
    for first, second in _PAIRS:
        if first in keys and second in keys:
            reasons.append(f"pairs of texts, for {first} and {second} are usual names of them")
            return [keys[first], keys[second]]
    texts = [column for column in columns if column.mean_words >= TEXT_WORDS]
    usual = [column for column in texts if column.key in TEXTS]
    found = sorted(usual or texts, key=lambda column: -column.mean_words)
    if not found:
        of_rows = (name for name in KINDS if kind_named(name).inputs.unit == "row")
        raise GuessError(
            f"no column holds texts of {TEXT_WORDS} words on average; say it: --text, and --pair; "
            f"rows of numbers are of kind {', '.join(of_rows)}, for which no model is named"
        )
    why = "a usual name, " if usual else ""
    reasons.append(f"text: {found[0].name}, {why}{found[0].mean_words:.0f} words on average")
    return found[:1]


def label_of(columns: list[Column], given: Options, reasons: list[str]) -> Column:
    """The column of the labels. Raises GuessError where several may be, or none."""
    if given.label is not None:
        return named(columns, given.label, "--label")
    found = [column for column in columns if column.key in _LABELS]
    why = "a usual name"
    if not found:
        found = [column for column in columns if column.may_be_classes]
        why = "the only one of a few values that come back"
    if len(found) != 1:
        names = ", ".join(str(column.name) for column in found or columns)
        which = "several may be labels" if found else "none looks like a label"
        are_flags = found and all(column.values <= {"0", "1"} for column in found)
        hint = ", of which one is learnt, for each is a label of 0 and 1" if are_flags else ""
        others = "" if found else f", or --kind {_kinds_that_write()}, of texts that are learnt"
        raise GuessError(f"of the columns {names} {which}; say it: --label{hint}{others}")
    reasons.append(f"label: {found[0].name}, {why}")
    return found[0]


def text_kind(*, classes: bool) -> str:
    """The kind of texts with classes, or with numbers."""
    return kind_reading("text", classes=classes)


def _kind(label: Column, reasons: list[str]) -> str:
    """Classes, of words or of few whole numbers; or numbers."""
    if label.several:
        problem = f"{label.name}: {label.several} rows have several labels"
        raise GuessError(f"{problem}; allowed: one label a row, for one is learnt")
    count, filled = len(label.values), label.values - {""}
    if listed := sorted(value for value in filled if value.startswith(("[", "{"))):
        problem = f"{label.name}: {listed[0]!r:.40} is a list or a record"
        raise GuessError(f"{problem}; allowed: one label a row, or --kind of what holds such")
    all_numbers = label.numbers == label.rows
    if all_numbers and (label.whole < label.rows or count > FEW_CLASSES):
        kind = text_kind(classes=False)
        reasons.append(f"{kind}, for the labels are numbers of many values")
        return kind
    if count > MOST_CLASSES or label.rows < 2 * len(filled):
        raise GuessError(
            f"{label.name}: too many different values for {label.rows} rows of classes; say it: "
            f"--label, or --kind {' | '.join(kinds_like(text_kind(classes=True)))} | "
            f"{_kinds_that_write()}"
        )
    shown = ", ".join(sorted(filled)[:5]) + (", ..." if len(filled) > 5 else "")
    kind = text_kind(classes=True)
    reasons.append(f"{kind}, for {label.name} has {len(filled)} values: {shown}")
    return kind


def _check_kind(asked: str | None) -> None:
    """Refuse a kind of other columns than a text and a label: only usual names tell those."""
    if asked is None or "text" in (names := needs_of(asked).names):
        return
    raise GuessError(
        f"--kind: {asked!r} is guessed by usual names of columns alone, which are not all there; "
        f"allowed: a benchmark of your own whose key columns names {', '.join(names)}, or, if "
        "they have usual names, no --text and --label"
    )


def _kinds_that_write() -> str:
    return " | ".join(needs.kind for needs in writing())


def _no_labels(label: Column, reasons: list[str]) -> tuple[str, ...]:
    """Values beside words that are no word, such as the `-` of pairs without a majority."""
    signs = {value for value in label.values if not any(map(str.isalnum, value))}
    words = {value for value in label.values - signs if not NUMBER.fullmatch(value)}
    if not signs or len(words) < 2:
        return ()
    reasons.append(f"rows whose {label.name} is {', '.join(map(repr, sorted(signs)))} are left out")
    return tuple(sorted(signs))


def _remarks(columns: Iterable[Column]) -> list[str]:
    groups = [column.name for column in columns if column.key in GROUPS]
    return [f"split.group: {groups[0]} would keep the rows of one in one split"] if groups else []


def shares_of(paths: Container[SplitName], reasons: list[str]) -> dict[SplitName, float]:
    """What is held out of the training rows: the splits that are not there."""
    shares = {name: share for name, share in _SHARES.items() if name not in paths}
    if shares:
        parts = " and ".join(f"{100 * share:.0f} % for {name}" for name, share in shares.items())
        reasons.append(f"{parts} are held out of the training rows, for there is no such file")
    return shares


def length_of(texts: Sequence[Column], reasons: list[str]) -> int:
    """The smallest usual length that holds nearly all texts."""
    lengths = sorted(map(sum, zip(*(column.words for column in texts), strict=True)))
    words = lengths[int(0.95 * (len(lengths) - 1))]
    tokens = _TOKENS_A_WORD * words + 3
    found = next((length for length in LENGTHS if length >= tokens), LENGTHS[-1])
    most = ", the most that is guessed" if found < tokens else ""
    reasons.append(f"max_length: {found}{most}, for 95 % of the texts have up to {words} words")
    return found
