"""Sequences of words with a tag each: named entities, parts of speech."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from kinds.contract import Kind, Row, RowError
from kinds.inputs.entity_spans import ACCEPTED, ANSWER, SPANS, TEXT, Alignment, spans_of, tagged
from kinds.inputs.values import text_of, texts_in
from kinds.inputs.word_lists import WordLists
from kinds.outputs.tag_brackets import of_brackets
from kinds.outputs.tag_schemes import BRACKETS, PLAIN, READ_AS, Scheme, scheme_of
from kinds.outputs.tags import Tags
from kinds.registry import register

if TYPE_CHECKING:
    import pyarrow as pa

    from finegrid.records.prepared import SplitName


@register("token-classification")
@dataclass(frozen=True)
class TokenClassification(Kind):
    """Words -> a tag each."""

    loader: ClassVar = "AutoModelForTokenClassification"
    makes_rows: ClassVar = True
    inputs = WordLists()

    labels: tuple[str, ...] = ()
    """The names of the tags, by the index of their class."""
    scheme: Scheme | None = None
    """How tags name entities; None: as all rows of a task do."""
    alignment: Annotated[Alignment, Field(exclude_if=lambda value: value == "strict")] = "strict"
    """What becomes of an entity of a text that ends inside a word."""

    @property
    def output(self) -> Tags:
        """The tags."""
        read_as = READ_AS[BRACKETS] if self.scheme == BRACKETS else self.scheme
        return Tags(self.labels, read_as)

    def row(self, values: Mapping[str, Any]) -> Row:
        """The words, and their tags without the spaces about them; of a text, by its entities."""
        if SPANS in values:
            return self._of_text(values)
        words, tags = (_words(name, values[name]) for name in ("tokens", "tags"))
        if len(words) != len(tags):
            counts = f"{len(words)} tokens and {len(tags)} tags"
            raise RowError("tags", f"{counts}; allowed: one tag for each of the tokens")
        tags = list(map(str.strip, tags))
        return {"tokens": words, "tags": _unbracketed(tags) if self.scheme == BRACKETS else tags}

    def _of_text(self, values: Mapping[str, Any]) -> Row:
        """The words of a text, and their tags by IOB2, of a row that its annotator accepted."""
        answer = text_of(values.get(ANSWER, ACCEPTED)).strip()
        if answer != ACCEPTED:
            allowed = f"allowed: {ACCEPTED}; or drop: {{{ANSWER}: [{answer}]}}"
            raise RowError(ANSWER, f"{answer!r}; {allowed}")
        words, tags = tagged(text_of(values[TEXT]), spans_of(values[SPANS]), self.alignment)
        return {"tokens": words, "tags": tags}

    def found(self, splits: Mapping[SplitName, pa.Table]) -> dict[str, Any]:
        """The scheme by which the tags of all rows name entities."""
        rows = [
            (f"{split}, {place}", tags)
            for split, part in splits.items()
            for place, tags in zip(part["place"].to_pylist(), part["tags"].to_pylist(), strict=True)
        ]
        return {"scheme": scheme_of(rows, self.labels, self.scheme)}

    def remarks(self) -> Iterator[str]:
        """By which scheme entities are read."""
        if self.scheme == PLAIN:
            yield "tags are plain: no entities are read of them"
        elif self.scheme is not None:
            read_as = READ_AS.get(self.scheme)
            does = f"reads {read_as}" if read_as else "does"
            yield f"entities are read by {self.scheme}, as seqeval {does} in its strict mode"
        if self.alignment == "expand":
            yield "entities that end inside a word are widened to whole words"


def _unbracketed(tags: list[str]) -> list[str]:
    try:
        return of_brackets(tags)
    except ValueError as error:
        raise RowError("tags", str(error)) from error


def _words(name: str, value: Any) -> list[str]:
    found = texts_in(value)
    if not found:
        raise RowError(name, f"{value!r:.60} is no list of words; allowed: a list of words")
    return found
