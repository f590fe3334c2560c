"""`finegrid verify`: what it shows and writes, and how it ends."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from finegrid.published_counts.command import run, summary
from finegrid.published_counts.golden import GoldenError, read_golden
from finegrid.published_counts.rows import Row
from tests.published_counts.files import file, paper, quiet, written


def test_a_corrupted_count_fails(tmp_path: Path) -> None:
    spec = {"method": "lora", "rank": 3, "targets": ["q", "v"]}
    path, rows = written(tmp_path, file(paper(spec, 769))), tmp_path / "rows.json"
    assert run(path, rows, quiet()) == 1
    (row,) = json.loads(rows.read_text())["rows"]
    assert row["verdict"] == "mismatch"
    assert row["reason"] == "closed form 768, meta 768, expected 769"
    assert (row["closed_form"], row["meta_count"], row["expected"]) == (768, 768, 769)


def test_a_wrong_figure_is_shown_and_does_not_fail(tmp_path: Path) -> None:
    spec = {"method": "lora", "rank": 3, "targets": ["q", "v"]}
    content = file(paper(spec, 768, published="0.5K", verdict="MISMATCH (a slip)"))
    console = quiet()
    assert run(written(tmp_path, content), None, console) == 0
    shown = " ".join(str(getattr(console.file, "getvalue")()).split())  # noqa: B009
    assert "768 is 0.8K, not 0.5K (the file: MISMATCH (a slip))" in shown
    assert "1 rows: 1 mismatch; no built counts deviate" in shown


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Invalid JSON"),
        ("[]", "the file"),
        ({"papers": []}, "model_dims: Field required"),
        (file(paper({}, 1) | {"expected": "1"}), "papers[0].expected"),
        (file(paper({}, 1) | {"colour": 1}), "papers[0].colour"),
        (file({"id": "a"}), "(and 6 more)"),
        (file(board={"rows": [{"id": "a"}]}), "board.rows[0]"),
    ],
)
def test_a_malformed_file_is_one_clear_error(
    content: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(GoldenError):
        read_golden(path)
    assert run(path, None, quiet()) == os.EX_DATAERR
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_that_cannot_be_read_or_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "absent.json", None, quiet()) == os.EX_IOERR
    assert run(written(tmp_path, file()), tmp_path, quiet()) == os.EX_IOERR
    assert capsys.readouterr().err.count("\n") == 2


def test_the_tables_fit_a_hundred_columns(tmp_path: Path) -> None:
    console = quiet()
    rows = [paper({"method": "lora", "note": "n" * 90}, 1, id=f"row-{n}") for n in range(30)]
    long = paper({"method": "lora", "rank": 3}, 768, published="p " * 90, id="i" * 70)
    run(written(tmp_path, file(*rows, long)), None, console)
    text = str(getattr(console.file, "getvalue")())  # noqa: B009
    assert max(map(len, text.splitlines())) <= 100
    assert [n for n in range(30) if f"row-{n}" not in text] == []


def test_the_summary_counts_every_verdict() -> None:
    found = [
        Row(id="a", what="", published=None, expected=1, verdict="match", meta_count=1),
        Row(id="b", what="", published=None, expected=1, verdict="not built"),
        Row(id="c", what="", published=None, expected=1, verdict="mismatch", meta_count=2),
    ]
    assert summary(found) == ("3 rows: 1 match, 1 mismatch, 1 not built; 1 built counts deviate")
