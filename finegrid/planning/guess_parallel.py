"""What a folder of texts side by side is likely to be: its languages, its splits, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from finegrid.planning.guess import (
    Guess,
    GuessError,
    Options,
    length_of,
    other_kinds,
    shares_of,
)
from finegrid.planning.guess_columns import Column
from finegrid.planning.layouts import Layout, parallel_layout, splits_named
from finegrid.planning.own_paths import Paths, names_below
from kinds.registry import KINDS, kind_named
from tasks.file_kinds import Needs, needs_of
from tasks.file_options import Columns, as_text
from tasks.parallel_texts import LEFT_OUT, SIDE, examples, left_out, masks, parts, side_by_side
from tasks.split_words import splits_of
from tasks.table_files import ENDINGS, PLAIN, Format, column_names, ending_of, read_rows

_SOURCES = ("src", "source", "input", "orig", "complex")
_TARGETS = ("tgt", "trg", "target", "output", "dst", "ref", "reference", "simple", "simp")
"""What people call the sides of texts of which one follows from the other."""
_SECOND = {
    "a": "abefkmnrsvyz",
    "b": "aeghimnors",
    "c": "aehorsuvy",
    "d": "aevz",
    "e": "elnostu",
    "f": "afijory",
    "g": "adlnuv",
    "h": "aeiortuyz",
    "i": "adegikostu",
    "j": "av",
    "k": "agijklmnorsuvwy",
    "l": "abginotuv",
    "m": "ghiklnrsty",
    "n": "abdeglnorvy",
    "o": "cjmrs",
    "p": "ailst",
    "q": "u",
    "r": "mnouw",
    "s": "acdegiklmnoqrstuvw",
    "t": "aeghiklnorstwy",
    "u": "gkrz",
    "v": "eio",
    "w": "ao",
    "x": "h",
    "y": "io",
    "z": "ahu",
}
"""The codes of ISO 639-1: first letter -> second ones."""
_WORD = re.compile(r"[A-Za-z0-9]+")
_WITH_REGION = re.compile(
    r"(?<![A-Za-z0-9])([a-z]{2,3}_[A-Z][a-z]{3}|[a-z]{2}[_-][A-Z]{2}|[a-z]{2}_[a-z]{2})"
    r"(?![A-Za-z0-9])"
)
"""A language with its script or its country: `eng_Latn`, `pt-BR`, `zh_cn`."""
_NO_TEXTS = frozenset({*ENDINGS} - {".txt"}) | {
    *(".md", ".rst", ".html", ".xml", ".sgm", ".bin", ".idx", ".py", ".sh", ".pdf", ".json"),
}
"""What the names of files end in that hold no text a line, whatever else their names say."""
_BOTH = re.compile(r"(?<![A-Za-z0-9])([A-Za-z0-9_]+?)(?:-|_to_|2)([A-Za-z0-9_]+)")
_SHOWN = 5
Sides = dict[str, set[str]]
"""A name with a star -> what stands for it in the names of the files side by side."""


def guess_parallel(folder: Path, given: Options) -> Guess | None:
    """The guess for a folder of texts side by side; None for what holds tables, or none of them.

    Raises GuessError, TableError, OSError.
    """
    names = names_below(folder)
    needs = _needs(given.kind)
    found = _said(names, given) or _sides(names)
    if needs is None or not found or _has_tables(names, found):
        return None
    source, target = _direction(set[str]().union(*found.values()), _order(found), given)
    how = Format(encoding=given.encoding, parallel=True)
    layout = parallel_layout(names, (source, target))
    paths = {split: tuple(folder / one for one in files) for split, files in layout.items()}
    columns = {needs.texts[0]: source, needs.truth[0]: target}
    reasons = [
        f"{needs.kind}, for names of files differ in {source} and {target}: line i of one belongs "
        "to line i of the other"
    ]
    if given.text is None and given.label is None:
        why = "their names say so" if _order(found) else "no name says which"
        reasons.append(_of_direction(source, target, why))
    reasons += _passed_over(found, layout)
    counts = left_out(paths, columns, how).items()
    reasons += [f"{split}: {count} {LEFT_OUT} are no examples" for split, count in counts]
    shares = shares_of(paths, reasons)
    together = parts(paths["train"], columns, "train")
    rows = (row for one in together for row in examples(one, columns, "train", how))
    reasons += other_kinds(needs.kind)
    length = length_of(_texts(needs, (texts for _, texts in rows)), reasons)
    named: Columns = {**columns}
    return Guess(needs.kind, named, how, (), shares, length, tuple(reasons))


def guess_memory(paths: Paths, given: Options) -> Guess:
    """The guess for translation memories. Raises GuessError, TableError, OSError."""
    needs = _needs(given.kind)
    if needs is None:
        raise GuessError(f"--kind: {given.kind!r} reads no two texts; allowed: a kind that does")
    languages = [str(one) for one in column_names(paths["train"][0], "train")]
    if len(languages) < 2:
        raise GuessError(f"texts in {', '.join(languages)} alone; allowed: in two languages")
    first = (languages[0], languages[1])
    source, target = _direction({*languages}, first, given)
    reasons = [f"{needs.kind}, for units hold texts in {source} and {target}"]
    if given.text is None and given.label is None:
        reasons.append(_of_direction(source, target, "it comes first"))
    columns = {needs.texts[0]: source, needs.truth[0]: target}
    rows = [
        [as_text(value) for value in values]
        for path in paths["train"]
        for _, values in read_rows(path, columns, "train")
    ]
    blank = {key: sum(not row[at].strip() for row in rows) for at, key in enumerate(columns)}
    drop: dict[str, JsonValue] = {key: [""] for key, count in blank.items() if count}
    reasons += [
        f"{count} units have no {key}, and are left out" for key, count in blank.items() if count
    ]
    shares = shares_of(paths, reasons)
    reasons += other_kinds(needs.kind)
    length = length_of(_texts(needs, (row for row in rows if all(map(str.strip, row)))), reasons)
    asked: dict[str, JsonValue] = {"drop": drop} if drop else {}
    named: Columns = {**columns}
    return Guess(needs.kind, named, PLAIN, (), shares, length, tuple(reasons), asked)


def _needs(kind: str | None) -> Needs | None:
    """What the kind reads that is asked for, else the first whose texts are made of a source."""
    if kind is not None:
        asked = needs_of(kind)
        return asked if asked.texts and len(asked.truth) == 1 else None
    writing = (needs for needs in map(needs_of, KINDS) if needs.truths == "texts")
    return next((one for one in writing if not {*one.texts} & {*one.optional}), None)


def _said(names: Sequence[str], given: Options) -> Sides:
    """The files whose names the words tell apart that are said for text and label."""
    if given.text is None or given.label is None:
        return {}
    sets = side_by_side(list(filter(_may_be_texts, names)), (given.text, given.label))
    return {masked: {given.text, given.label} for masked in sets}


def _sides(names: Sequence[str]) -> Sides:
    """The files whose names differ in a language, in a usual word, or in two that stand in both."""
    words: Sides = {}
    for name in filter(_may_be_texts, names):
        for word in _candidates(name):
            for masked in masks(name, word):
                words.setdefault(masked, set()).add(word)
    found = {masked: _sides_of(masked, several) for masked, several in words.items()}
    return {masked: sides for masked, sides in found.items() if sides and _is_named(masked)}


def _may_be_texts(name: str) -> bool:
    return ending_of(name) not in _NO_TEXTS


def _is_named(masked: str) -> bool:
    """Whether the files' own names say what they are; else their folders may be labels of texts."""
    file = PurePosixPath(masked).name
    return SIDE in file or bool(splits_of(file))


def _candidates(name: str) -> set[str]:
    """The words of a name that may tell it from that of the file beside it."""
    words = {one for one in _WORD.findall(name) if not splits_of(one)}
    return words | {*_WITH_REGION.findall(name)}


def _sides_of(masked: str, words: set[str]) -> set[str]:
    """Those of the words that are sides of texts; none where fewer than two are."""
    languages = set(filter(_is_language, words))
    if len(languages) > 1:
        return languages
    return {*(_in_words(words) or _in_name(masked, words) or ())}


def _is_language(word: str) -> bool:
    is_code = len(word) == 2 and word[1] in _SECOND.get(word[0], "")
    return is_code or _WITH_REGION.fullmatch(word) is not None


def _in_words(sides: set[str]) -> tuple[str, str] | None:
    """Source and target by their usual names."""
    sources = [one for one in sides if one.lower() in _SOURCES]
    targets = [one for one in sides if one.lower() in _TARGETS]
    return (sources[0], targets[0]) if len(sources) == len(targets) == 1 else None


def _in_name(masked: str, sides: set[str]) -> tuple[str, str] | None:
    """The two that the files' own names have in this order, as `en-de`; numbers are no sides."""
    for one, other in _BOTH.findall(PurePosixPath(masked).name):
        if {one, other} <= sides and not (one + other).isdecimal():
            return one, other
    return None


def _has_tables(names: Sequence[str], found: Sides) -> bool:
    """Whether tables are rather meant: some are called as splits are, or no texts are."""
    tables = [name for name in names if ending_of(name) in {*ENDINGS} - {".txt"}]
    trains = any("train" in splits_named(masked) for masked in found)
    return any(map(splits_named, tables)) or (bool(tables) and not trains)


def _direction(sides: set[str], order: tuple[str, str] | None, given: Options) -> tuple[str, str]:
    """Source and target. Raises GuessError where there are more than two sides."""
    for said, option in ((given.text, "--text"), (given.label, "--label")):
        if said is not None and said not in sides:
            allowed = f"allowed: {', '.join(sorted(sides))}"
            raise GuessError(f"{option}: {said!r} is none of the texts side by side; {allowed}")
    if given.text is not None and given.label is not None:
        return given.text, given.label
    if len(sides) > 2:
        raise GuessError(
            f"texts side by side of {', '.join(sorted(sides))}; say which: --text for what is "
            "read, --label for what is written"
        )
    if given.text is not None:
        return given.text, (sides - {given.text}).pop()
    if given.label is not None:
        return (sides - {given.label}).pop(), given.label
    return order or (min(sides), max(sides))


def _order(found: Sides) -> tuple[str, str] | None:
    orders = (_in_words(sides) or _in_name(masked, sides) for masked, sides in found.items())
    return next(filter(None, orders), None)


def _of_direction(source: str, target: str, why: str) -> str:
    turned = f"the other way round: --text {target}"
    return f"{source} is read and {target} is written, for {why}; {turned}"


def _passed_over(found: Mapping[str, set[str]], layout: Layout) -> Iterator[str]:
    taken = {name for files in layout.values() for name in files}
    others = [
        masked for masked, sides in found.items()
        if not any(masked.replace(SIDE, side) in taken for side in sides)
    ]  # fmt: skip
    if others:
        more = ", ..." if len(others) > _SHOWN else ""
        shown = ", ".join(map(repr, others[:_SHOWN]))
        yield f"of no split by their names, and passed over: {shown}{more}"


def _texts(needs: Needs, rows: Iterator[Sequence[str]]) -> list[Column]:
    """How many words examples have: of both texts, or of the longer where each has a length."""
    first, second = Column("first"), Column("second")
    for texts in rows:
        for column, text in zip((first, second), texts, strict=True):
            column.add(text)
    if not kind_named(needs.kind).output.is_apart:
        return [first, second]
    pairs = zip(first.words, second.words, strict=True)
    return [Column("longer", words=[max(pair) for pair in pairs])]
