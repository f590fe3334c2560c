"""Rows that are made for a task whose data lie elsewhere."""

from typing import Any

import pytest

from finegrid.rehearsal.rows import made_rows
from kinds.outputs.tag_schemes import GRAMMARS, Scheme
from tasks.registry import TASKS

LABELS = {
    "IOB1": ["B-PER", "I-LOC", "I-PER", "O"],
    "IOB2": ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"],
    "BIOES": ["B-PER", "E-PER", "I-PER", "O", "S-PER"],
}


@pytest.mark.parametrize("scheme", LABELS)
def test_tags_that_are_made_fit_their_scheme(scheme: Scheme) -> None:
    options: dict[str, Any] = {
        "splits": {"train": "a.jsonl", "validation": "b.jsonl", "test": "c.jsonl"},
        "columns": {"tokens": "tokens", "tags": "tags"},
        "kind": "token-classification",
        "labels": LABELS[scheme],
        "asked": {"scheme": scheme},
    }
    made = made_rows(TASKS.build("table-files", options), options)
    for rows in made.values():
        assert all(GRAMMARS[scheme].misfit(tags) is None for tags in rows["tags"].to_pylist())
