"""What a table is likely to be whose texts follow from others: its kind and its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from finegrid.planning.guess_columns import TEXT_WORDS, ByName, Column, GuessError, named
from finegrid.planning.guess_references import Several, listed, numbered, repeated
from kinds.registry import KINDS
from tasks.file_kinds import Needs, needs_of
from tasks.file_options import Columns
from tasks.table_files import Format

_PAIRS = (
    *(("prompt", "response"), ("prompt", "completion"), ("instruction", "output")),
    *(("instruction", "response"), ("question", "answer"), ("source", "target")),
    *(("article", "highlights"), ("document", "summary"), ("dialogue", "summary")),
    *(("prompt", "target"), ("input", "output"), ("mr", "ref"), ("source", "reference")),
    ("meaningrepresentation", "humanreference"),
)
"""Usual names of a text and of the one that follows from it."""
_BETWEEN = {"instruction": "input"}
"""A column that adds to another one, as in the form of Alpaca."""
_CHATS = ("messages", "conversations")
_ANSWER = "answer"
_YES_OR_NO = frozenset({"true", "false", "yes", "no"})


def guess_texts(
    keys: Mapping[str, str | int], kind: str | None, files: Sequence[Path], how: Format
) -> ByName | None:
    """The guess for columns by their names, or None where they are no usual ones.

    `keys` has each column of the files by its name without case and signs; `kind` is one that was
    asked for. Raises TableError and OSError.
    """
    found = [needs for needs in writing() if kind in (None, needs.kind)]
    chats = [keys[name] for name in _CHATS if name in keys]
    for needs in found:
        if chats and (composed := next(iter(needs.composed), None)):
            reason = f"{needs.kind}, for {chats[0]} is a usual name of conversations"
            asked: dict[str, JsonValue] = {"encoding": {"template": "chat"}}
            return ByName(needs.kind, {composed: chats[0]}, (), asked, (reason,))
        for first, second in _PAIRS:
            if {first, second} <= keys.keys():
                return _pair(needs, first, second, keys, files, how)
        for first in dict.fromkeys(first for first, _ in _PAIRS):
            if first in keys and (several := _several(keys, first, files, how)):
                return _of_several(needs, first, several, keys)
    return None


def _several(
    keys: Mapping[str, str | int], first: str, files: Sequence[Path], how: Format
) -> Several | None:
    """The texts that are right for a source, in columns of their own or in a list."""
    others = {key: name for key, name in keys.items() if key != first}
    return numbered(others, files, how) or listed(others, files, how)


def _of_several(
    needs: Needs, first: str, several: Several, keys: Mapping[str, str | int]
) -> ByName:
    beside, parts = _parts(first, keys)
    columns: Columns = {needs.texts[0]: parts if beside else parts[0]}
    columns[needs.truth[0]] = several.columns
    asked: dict[str, JsonValue] = {"references": several.form}
    reasons = (f"{needs.kind}, for {first} is a usual name of a source of texts", several.reason)
    return ByName(needs.kind, columns, parts, asked, reasons, several.words)


def _parts(first: str, keys: Mapping[str, str | int]) -> tuple[list[str], tuple[str | int, ...]]:
    """What adds to a source, and all columns that make it."""
    beside = [name for one, name in _BETWEEN.items() if one == first and name in keys]
    return beside, (keys[first], *(keys[name] for name in beside))


def _pair(
    needs: Needs,
    first: str,
    second: str,
    keys: Mapping[str, str | int],
    files: Sequence[Path],
    how: Format,
) -> ByName:
    if several := listed({second: keys[second]}, files, how):
        return _of_several(needs, first, several, keys)
    beside, parts = _parts(first, keys)
    columns: Columns = {
        needs.texts[0]: parts if beside else parts[0],
        needs.truth[0]: keys[second],
    }
    reason = f"{needs.kind}, for {first} and {second} are usual names of texts of which one follows"
    again = repeated(parts, files, how)
    asked: dict[str, JsonValue] = {"references": again.form} if again else {}
    reasons = (reason, again.reason) if again else (reason,)
    return ByName(needs.kind, columns, (*parts, keys[second]), asked, reasons)


def said_texts(columns: Sequence[Column], kind: str, text: str | None, label: str | None) -> ByName:
    """The guess for a kind that was asked for, by the columns that are said, or by those of texts.

    A label is the text that is learnt, and follows the other one. Raises GuessError.
    """
    needs = needs_of(kind)
    texts = [column for column in columns if column.mean_words >= TEXT_WORDS]
    first = named(columns, text, "--text") if text is not None else None
    if label is None:
        found = [first] if first else texts
        if len(found) != 1:
            raise GuessError(
                f"{_several_of(found or columns)} what is learnt; say it: --label, and --text of "
                "what it follows"
            )
        return _said(needs, None, found[0])
    learnt = named(columns, label, "--label")
    return _said(needs, first or _before(needs, texts, learnt), learnt)


def _before(needs: Needs, texts: Sequence[Column], learnt: Column) -> Column | None:
    """What a text follows: the only other column of texts, or the one with a usual name."""
    others = [column for column in texts if column is not learnt]
    usual = [column for column in others if column.key in {first for first, _ in _PAIRS}]
    found = usual if len(usual) == 1 else others
    if len(found) > 1:
        raise GuessError(f"{_several_of(found)} what it follows; say it: --text")
    return found[0] if found else None


def _several_of(columns: Iterable[Column]) -> str:
    return f"of the columns {', '.join(str(one.name) for one in columns)} several may be"


def _said(needs: Needs, first: Column | None, learnt: Column) -> ByName:
    if first is None and needs.texts[0] not in needs.optional:
        raise GuessError(
            f"no other column holds texts, and kind {needs.kind!r} needs one that {learnt.name} "
            "follows; say it: --text"
        )
    columns: Columns = {needs.truth[0]: learnt.name}
    if first is None:
        reason = f"{needs.kind}, and {learnt.name} is learnt as it stands, in pieces where long"
        asked: dict[str, JsonValue] = {"encoding": {"pieces": True}}
        return ByName(needs.kind, columns, (learnt.name,), asked, (reason,))
    reason = f"{needs.kind}, and {learnt.name} is learnt, which follows {first.name}"
    columns[needs.texts[0]] = first.name
    return ByName(needs.kind, columns, (first.name, learnt.name), {}, (reason,))


def answers_yes_or_no(columns: Iterable[Column]) -> bool:
    """Whether answers are of two words, as those of BoolQ: classes, and no texts."""
    return any(
        column.key == _ANSWER
        and len(values := {value.lower() for value in column.values}) == 2
        and values <= _YES_OR_NO
        for column in columns
    )


def writing() -> list[Needs]:
    """What the kinds read whose outputs are texts."""
    return [needs for needs in map(needs_of, KINDS) if needs.truths == "texts"]
