"""What a table of words with a tag each is likely to be: its columns and its kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue

from finegrid.planning.guess_columns import first_rows
from finegrid.planning.guess_words import columns_by_content
from kinds.contract import SettingError
from kinds.inputs.values import texts_in
from kinds.outputs.tag_brackets import are_brackets
from kinds.outputs.tag_schemes import BRACKETS, scheme_of
from kinds.registry import KINDS
from tasks.file_kinds import Needs, needs_of
from tasks.file_tags import TAGS
from tasks.table_files import Format

_TOKENS = ("tokens", "words", "token", "word", "form", "sentence", "text")
_NAMES = (
    *("nertags", "ner", "tags", "labels", "tag", "label", "iob", "bio", "entities"),
    *("postags", "upostags", "upos", "pos", "xpos", "xpostags", "chunktags", "chunk"),
)
"""Usual names of the tags of words, those of entities first."""


class TaggedWords(NamedTuple):
    """A guess at the columns of such a table."""

    kind: str
    columns: dict[str, str | int]
    words: list[int]
    """How many words the rows have that were looked at."""
    reasons: tuple[str, ...]
    asked: Mapping[str, JsonValue] = {}
    """What the entry says beside."""


def guess_tags(
    files: Sequence[Path], how: Format, text: str | None, label: str | None, kind: str | None
) -> TaggedWords | None:
    """The guess for files whose rows hold lists of words, or None where they are no such.

    `text` and `label` name the columns where they are said, `kind` the kind. Raises TableError.
    """
    needs = next((one for one in _needs() if kind in (None, one.kind)), None)
    if needs is None:
        return None
    rows = first_rows(files[0], how)
    lists = {name: list(map(texts_in, values)) for name, values in rows.items()}
    filled = {name: found for name, found in lists.items() if found and all(found)}
    numbered = [name for name in filled if isinstance(name, int)]
    given = (_number(text), _number(label))
    by_content = columns_by_content({name: filled[name] for name in numbered}, *given)
    tokens = by_content.tokens if numbered else _pick(filled, text, _TOKENS)
    if tokens is None:
        return None
    lengths = list(map(len, filled[tokens]))
    beside = {
        name: found
        for name, found in filled.items()
        if name != tokens and list(map(len, found)) == lengths
    }
    tags = by_content.tags if numbered else _pick(beside, label, _NAMES)
    if tags is None or tags not in beside:
        return None
    (words,) = needs.made
    reasons = [f"{needs.kind}, for {tokens} and {tags} hold lists of one length, a tag a word"]
    reasons += _remarks(beside, tags)
    asked: dict[str, JsonValue] = {}
    if are_brackets(tag for row in beside[tags] for tag in row):
        asked["scheme"] = BRACKETS
    return TaggedWords(needs.kind, {words: tokens, TAGS: tags}, lengths, tuple(reasons), asked)


def _may_be(rows: Iterable[Sequence[str]]) -> bool:
    """Whether a column may be tags: it is more than the numbers of words."""
    return not all(value.isdecimal() for row in rows for value in row)


def _number(said: str | None) -> int | None:
    return int(said) if said is not None and said.isdecimal() else None


def _remarks(beside: Mapping[str | int, list[list[str]]], tags: str | int) -> Iterable[str]:
    others = ", ".join(str(name) for name, rows in beside.items() if name != tags and _may_be(rows))
    if others:
        yield f"tags: {tags}; {others} may be tags as well: --label"
    rows = [(f"row {number}", row) for number, row in enumerate(beside[tags], 1)]
    labels = sorted({tag for _, row in rows for tag in row})
    if all(map(str.isdecimal, labels)):
        yield "the tags are numbers; where their names are known, labels: [O, B-..., ...] says them"
        return
    if are_brackets(labels):
        yield f"scheme: {BRACKETS}, of which entities are read"
        return
    try:
        yield f"scheme: {scheme_of(rows, labels, None)}, as planning finds it in all rows"
    except SettingError as error:
        yield f"scheme: {error}"


def _pick(columns: Iterable[str | int], said: str | None, usual: Sequence[str]) -> Any:
    """The column that is said, or the first that has a usual name."""
    if said is not None:
        return said if said in columns else None
    keys = {"".join(filter(str.isalnum, str(name).lower())): name for name in columns}
    return next((keys[name] for name in usual if name in keys), None)


def _needs() -> Iterable[Needs]:
    """What the kinds read whose words have tags."""
    return (needs for needs in map(needs_of, KINDS) if needs.truths == TAGS)
