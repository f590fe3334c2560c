"""Which columns of a file of a word a line hold the words and their tags, by what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from kinds.outputs.tag_brackets import are_brackets
from kinds.outputs.tag_schemes import OUTSIDE, are_of_entities

_CHUNKS = frozenset(
    (
        "NP",
        "VP",
        "PP",
        "ADVP",
        "ADJP",
        "SBAR",
        "PRT",
        "CONJP",
        "INTJ",
        "LST",
        "UCP",
        "NC",
        "VC",
        "PC",
    )
)
"""The types of chunks, which are named as entities are: those of CoNLL-2000 and 2003."""
Columns = Mapping[int, Sequence[Sequence[str]]]
"""Number of a column -> its values, a sentence each."""


class WordsAndTags(NamedTuple):
    """The columns that are told."""

    tokens: int | None = None
    tags: int | None = None


def columns_by_content(
    columns: Columns, tokens: int | None = None, tags: int | None = None
) -> WordsAndTags:
    """The columns of words and of tags among some; those that are given stay, if they are there."""
    values = {name: [*chain.from_iterable(rows)] for name, rows in columns.items()}
    tags = tags if tags in values else _tags(values, tokens)
    return WordsAndTags(tokens if tokens in values else _words(values, tags), tags)


def _tags(values: Mapping[int, Sequence[str]], tokens: int | None) -> int | None:
    """The first column of entities, else that of chunks, else the one of fewest different values.

    Without one whose values come back it is the last.
    """
    others = {name: {*found} for name, found in values.items() if name != tokens}
    entities = [name for name, found in others.items() if names_spans(found)]
    if entities:
        return next((name for name in entities if not _are_chunks(others[name])), entities[0])
    often = {
        name: len(found)
        for name, found in others.items()
        if 2 <= len(found) <= len(values[name]) / 2 and not all(map(str.isdecimal, found))
    }
    return min(often, key=often.__getitem__) if often else max(others, default=None)


def _words(values: Mapping[int, Sequence[str]], tags: int | None) -> int | None:
    """The column of most different values, numbers of words aside; of equal ones the first."""
    counts = {
        name: len({*found})
        for name, found in values.items()
        if name != tags and not all(map(str.isdecimal, found))
    }
    return max(counts, key=counts.__getitem__) if counts else min(values, default=None)


def names_spans(tags: set[str]) -> bool:
    """Whether tags name spans of words: by a scheme, with words outside of them, or in brackets."""
    return (OUTSIDE in tags and are_of_entities(sorted(tags))) or are_brackets(sorted(tags))


def _are_chunks(tags: set[str]) -> bool:
    return {tag.partition("-")[2] for tag in tags - {OUTSIDE}} <= _CHUNKS
