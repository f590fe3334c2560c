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


@pytest.mark.parametrize("kind", ["multiple-choice", "multiple-choice-lm"])
def test_questions_have_no_more_choices_than_their_task_says(kind: str) -> None:
    """As those of PIQA, of which each has two."""
    options: dict[str, Any] = {
        "kind": kind,
        "splits": {"train": ["a.jsonl"], "validation": ["b.jsonl"], "test": ["c.jsonl"]},
        "columns": {"question": "goal", "choices": ["sol1", "sol2"], "answer": "label"},
        "asked": {"choices": 2},
    }
    found = made_rows(TASKS.build("table-files", options), options)
    assert {len(row) for rows in found.values() for row in rows["choices"].to_pylist()} == {2}
