"""Files with choices in the layouts of public data sets, each by its files and columns alone.

The layouts are those of the data sets' own pages; the rows are written for these tests.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from finegrid.planning.guess import Options, guess
from finegrid.prepare.task import prepare_task
from tests.planning.own_files.tables import SPLIT, Problems, own, planned, written

Row = dict[str, Any]
LETTERS = "ABCDE"
KIND = "multiple-choice"


def labelled(texts: list[str]) -> Row:
    return {"text": texts, "label": [*LETTERS[: len(texts)]]}


def records(texts: list[str]) -> list[Row]:
    return [{"text": text, "label": label} for text, label in zip(texts, LETTERS, strict=False)]


FOUR = ["rain", "snow", "sun", "wind"]
LAYOUTS: dict[str, tuple[Callable[[int], Row], dict[str, Any], dict[str, Any], Row]] = {
    "RACE": (
        lambda n: {
            **{"example_id": f"high{n}.txt", "article": f"It fell in year {n}.", "answer": "D"},
            **{"question": "What fell?", "options": FOUR},
        },
        {"context": "article", "question": "question", "choices": "options", "answer": "answer"},
        {},
        {"context": "It fell in year 1.", "question": "What fell?", "choices": FOUR, "answer": 3},
    ),
    "COPA": (
        lambda n: {
            **{"premise": f"Man {n} fell.", "choice1": "He slept.", "choice2": "He slipped."},
            **{"question": "cause", "idx": n, "label": n % 2},
        },
        {
            **{"context": "premise", "question": "question"},
            **{"choices": ("choice1", "choice2"), "answer": "label"},
        },
        {},
        {
            **{"context": "Man 1 fell.", "question": "cause"},
            **{"choices": ["He slept.", "He slipped."], "answer": 1},
        },
    ),
    "SWAG": (
        lambda n: {
            **{"video-id": f"v{n}", "sent1": f"Man {n} stands.", "sent2": "He"},
            **{f"ending{at}": text for at, text in enumerate(FOUR)},
            **{"gold-source": "gold", "label": n % 4},
        },
        {
            **{"context": "sent1", "question": "sent2", "answer": "label"},
            "choices": ("ending0", "ending1", "ending2", "ending3"),
        },
        {},
        {"context": "Man 1 stands.", "question": "He", "choices": FOUR, "answer": 1},
    ),
    "HellaSwag": (
        lambda n: {
            **{"ind": n, "activity_label": "Sky", "ctx_a": f"Look {n}.", "ctx_b": "then"},
            **{"ctx": f"Look {n}. then", "endings": FOUR, "label": str(n % 4)},
        },
        {"question": "ctx", "choices": "endings", "answer": "label"},
        {},
        {"question": "Look 1. then", "choices": FOUR, "answer": 1},
    ),
    "PIQA": (
        lambda n: {"goal": f"Dry {n} shirts", "sol1": "Sun", "sol2": "Rain", "label": n % 2},
        {"question": "goal", "choices": ("sol1", "sol2"), "answer": "label"},
        {},
        {"question": "Dry 1 shirts", "choices": ["Sun", "Rain"], "answer": 1},
    ),
    "ARC": (
        lambda n: {
            **{"id": f"Mercury_{n}", "question": f"What falls {n}?"},
            "choices": labelled(FOUR[: 3 + n % 2]) if n else labelled([*FOUR, "hail"]),
            "answerKey": "C",
        },
        {"question": "question", "choices": "choices", "answer": "answerKey"},
        {},
        {"question": "What falls 1?", "choices": FOUR, "answer": 2},
    ),
    "CommonsenseQA": (
        lambda n: {
            **{"id": f"{n}", "question": f"Where is {n}?", "question_concept": "number"},
            **{"choices": labelled([*FOUR, "hail"]), "answerKey": LETTERS[n % 5]},
        },
        {"question": "question", "choices": "choices", "answer": "answerKey"},
        {},
        {"question": "Where is 1?", "choices": [*FOUR, "hail"], "answer": 1},
    ),
    "CommonsenseQA and ARC, as their authors write them": (
        lambda n: {
            **{"id": f"{n}", "answerKey": "B"},
            "question": {"stem": f"Where is {n}?", "choices": records(FOUR)},
        },
        {"question": "question.stem", "choices": "question.choices", "answer": "answerKey"},
        {},
        {"question": "Where is 1?", "choices": FOUR, "answer": 1},
    ),
    "OpenBookQA": (
        lambda n: {
            **{"id": f"{n}", "question_stem": f"Day {n} has", "choices": labelled(FOUR)},
            "answerKey": "A",
        },
        {"question": "question_stem", "choices": "choices", "answer": "answerKey"},
        {},
        {"question": "Day 1 has", "choices": FOUR, "answer": 0},
    ),
    "WinoGrande": (
        lambda n: {
            **{"sentence": f"In {n} the _ fell.", "option1": "rain", "option2": "sun"},
            "answer": str(1 + n % 2),
        },
        {"question": "sentence", "choices": ("option1", "option2"), "answer": "answer"},
        {"answer_is": "number"},
        {"question": "In 1 the _ fell.", "choices": ["rain", "sun"], "answer": 1},
    ),
}


def file_of(name: str) -> str:
    rows = map(LAYOUTS[name][0], range(12))
    return written("a.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))


def as_yaml(columns: dict[str, Any]) -> dict[str, Any]:
    return {key: list(one) if isinstance(one, tuple) else one for key, one in columns.items()}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layout_is_read_and_guessed(small: dict[str, Any], tmp_path: Path, name: str) -> None:
    _, columns, said, expected = LAYOUTS[name]
    file = file_of(name)
    task = planned(small, kind=KIND, files=file, columns=as_yaml(columns), split=SPLIT, **said)
    manifest = prepare_task(task, tmp_path / "task")
    files = (tmp_path / "task" / f"{split}.parquet" for split in manifest.splits)
    rows = {row.pop("id"): row for one in files for row in pq.read_table(one).to_pylist()}
    assert len(rows) == 12
    assert rows["train-2"] == expected
    found = guess({"train": (Path(file),)}, Options())
    assert (found.kind, found.columns, found.asked) == (KIND, columns, said)


def test_questions_may_have_unlike_numbers_of_choices(small: dict[str, Any]) -> None:
    """As those of ARC: three to five."""
    columns = as_yaml(LAYOUTS["ARC"][1])
    task = planned(small, kind=KIND, files=file_of("ARC"), columns=columns, split=SPLIT)
    assert task.options["asked"] == {"answer_is": None, "choices": 5}


def test_rows_without_an_answer_are_dropped_by_name(
    small: dict[str, Any], problems: Problems
) -> None:
    """As the test rows of HellaSwag and PIQA, whose answers are not published."""
    rows = [{"goal": f"Dry {n}", "sol1": "Sun", "sol2": "Rain", "label": n % 2} for n in range(12)]
    rows += [rows[0] | {"goal": "Hidden", "label": -1}, rows[0] | {"goal": "Blank", "label": ""}]
    file = written("a.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    columns = as_yaml(LAYOUTS["PIQA"][1])
    said = {"kind": KIND, "files": file, "columns": columns, "split": SPLIT}
    (line,) = problems(own(small, **said))
    assert "columns.answer: a.jsonl, column 'label': line 13: '-1' names none of 2 choices" in line
    dropped = planned(small, **said, drop={"answer": [-1, ""]}).options["drop"]
    assert dropped == {key: [] for key in columns} | {"context": [], "answer": ["-1", ""]}


def test_a_label_may_be_the_text_of_another_choice(
    small: dict[str, Any], problems: Problems
) -> None:
    """As in questions of ARC whose choices are numbers."""
    choices = {"text": ["2", "3", "1"], "label": ["1", "2", "3"]}
    rows = [{"question": f"{n}?", "choices": choices, "answerKey": "1"} for n in range(12)]
    file = written("a.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    columns = as_yaml(LAYOUTS["ARC"][1])
    said = {"kind": KIND, "files": file, "columns": columns, "split": SPLIT}
    (line,) = problems(own(small, **said))
    assert "'1' may be '2' and '1'; allowed: one of them, or answer_is" in line
    assert planned(small, **said, answer_is="label").options["asked"] == {
        "answer_is": "label",
        "choices": 3,
    }
