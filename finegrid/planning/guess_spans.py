"""What a table of texts with entities at places of signs is likely to be: columns, rows to drop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from finegrid.planning.guess_columns import first_rows
from finegrid.planning.guess_tags import TaggedWords
from kinds.contract import RowError
from kinds.inputs.entity_spans import (
    ACCEPTED,
    ANSWER,
    CANCELLED,
    SPANS,
    TEXT,
    is_in,
    spans_of,
    types_held,
    words_of,
)
from kinds.registry import KINDS
from tasks.file_kinds import Needs, needs_of
from tasks.file_options import as_text
from tasks.table_files import Format, read_rows

_TEXTS = ("text", "data.text", "content", "sentence", "document", "body")
_ANSWERS = {ACCEPTED, "reject", "ignore"}
"""What Prodigy says of examples."""
Name = str | int


@dataclass
class _Column:
    """What the values of a column may be."""

    values: list[Any]

    @property
    def is_text(self) -> bool:
        return all(isinstance(one, str) for one in self.values)

    @property
    def has_spans(self) -> bool:
        """Whether most rows have entities or none, and some have any."""
        found = [_spans(one) for one in self.values]
        return any(found) and 2 * sum(one is not None for one in found) > len(found)

    @property
    def has_answers(self) -> bool:
        """Whether all values are what Prodigy says of an example."""
        return {*map(as_text, self.values)} <= _ANSWERS

    def is_marked_by(self, spans: _Column) -> bool:
        """Whether most entities lie in these texts, with the text that is said of them."""
        pairs = zip(self.values, spans.values, strict=True)
        found = [is_in(text, one) for text, value in pairs for one in _spans(value) or ()]
        return 2 * sum(found) > len(found)

    @property
    def length(self) -> int:
        """The signs of all values."""
        return sum(len(as_text(one)) for one in self.values)


def _spans(value: Any) -> Sequence[Any] | None:
    """The entities of a value; None where it has no such."""
    try:
        return spans_of(value)
    except RowError:
        return () if types_held(value) == {CANCELLED} else None


def guess_spans(
    files: Sequence[Path], how: Format, text: str | None, label: str | None, kind: str | None
) -> TaggedWords | None:
    """The guess for files whose rows hold a text and its entities, or None where they are no such.

    `text` and `label` name the columns where they are said, `kind` the kind. Raises TableError.
    """
    needs = next((one for one in _needs() if kind in (None, one.kind)), None)
    if needs is None:
        return None
    columns = {name: _Column(values) for name, values in first_rows(files[0], how).items()}
    spans = [name for name, one in columns.items() if label in (None, name) and one.has_spans]
    given = [name for name in columns if text in (None, name)]
    texts = sorted(given, key=lambda name: (_usual(name), -columns[name].length))
    for place in spans:
        for one in texts:
            if columns[one].is_text and columns[one].is_marked_by(columns[place]):
                found: dict[str, Name] = {TEXT: one, SPANS: place}
                if ANSWER in columns and columns[ANSWER].has_answers:
                    found[ANSWER] = ANSWER
                return _guessed(needs, found, files, how)
    return None


def _guessed(
    needs: Needs, columns: Mapping[str, Name], files: Sequence[Path], how: Format
) -> TaggedWords:
    types, answers, words = Counter[str](), Counter[str](), list[int]()
    for file in files:
        for _, (text, spans, *answer) in read_rows(file, columns, "train", how):
            types.update(types_held(spans))
            answers.update(map(as_text, answer))
            words.append(len(words_of(as_text(text))))
    lacking, skipped = types.pop("", 0), types.pop(CANCELLED, 0)
    refused = sorted(answers.keys() - {ACCEPTED})
    reasons = [
        f"{needs.kind}, for {columns[SPANS]} holds places in {columns[TEXT]}, each with a label",
        f"labels: {', '.join(sorted(types))}; words are tagged by them as in IOB2",
    ]
    if lacking:
        reasons.append(
            f"rows without an entity: {lacking}, all words of which are learnt as outside of one; "
            f'where nobody has looked for any, drop: {{{SPANS}: [""]}} leaves them out'
        )
    dropped: dict[str, JsonValue] = {}
    if skipped:
        dropped[SPANS] = [CANCELLED]
        reasons.append(f"rows that are left out, for their annotation was skipped: {skipped}")
    if refused:
        dropped[ANSWER] = [*refused]
        count, said = sum(answers[one] for one in refused), ", ".join(refused)
        reasons.append(f"rows that are left out, for their {columns[ANSWER]} is {said}: {count}")
    asked: dict[str, JsonValue] = {"drop": dropped} if dropped else {}
    return TaggedWords(needs.kind, dict(columns), words, tuple(reasons), asked)


def _usual(name: Name) -> int:
    """Usual names of texts come first."""
    key = str(name).lower()
    return _TEXTS.index(key) if key in _TEXTS else len(_TEXTS)


def _needs() -> Iterator[Needs]:
    """What the kinds read whose words have tags, and which can be made of a text's entities."""
    every: Iterable[Needs] = map(needs_of, KINDS)
    return (needs for needs in every if SPANS in needs.composed)
