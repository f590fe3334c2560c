"""Rows that are made for a rehearsal, where those of the task are not here."""

from typing import Any

import pytest

from finegrid.rehearsal.rows import made_rows
from tasks.registry import TASKS


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
