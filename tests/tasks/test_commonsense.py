from pathlib import Path
from typing import Any, get_args, get_type_hints

import pandas as pd
import pytest

from tasks.commonsense import Commonsense

SUBSETS = get_args(get_type_hints(Commonsense)["subset"])
LETTERS = {"text": ["mobile", "anxious", "lonely", "happy"], "label": ["A", "B", "C", "D"]}
ROWS: dict[str, dict[str, Any]] = {
    "boolq": {"question": "is the sky blue", "passage": "unread", "answer": True},
    "piqa": {"goal": "open it", "sol1": "pull", "sol2": "push", "label": 1},
    "siqa": {
        "context": "Carson moved.",
        "question": "How is Carson?",
        **{"answerA": "mobile", "answerB": "anxious", "answerC": "lonely", "label": "1"},
    },
    "hellaswag": {
        "activity_label": "Playing drums",
        "ctx": "A man",
        "endings": ["is", "starts", "begins", "plays"],
        "label": "3",
    },
    "winogrande": {"sentence": "_ ate.", "option1": "Ian", "option2": "Dennis", "answer": "2"},
    "arc-easy": {"question": "How?", "choices": LETTERS, "answerKey": "B"},
    "arc-challenge": {
        "question": "How?",
        "choices": LETTERS | {"label": ["1", "2", "3", "4"]},
        "answerKey": "4",
    },
    "openbookqa": {"question_stem": "How?", "choices": LETTERS, "answerKey": "D"},
}
ANSWERS = {
    "boolq": "true",
    "piqa": "solution2",
    "siqa": "answer1",
    "hellaswag": "ending4",
    "winogrande": "option2",
    "arc-easy": "answer2",
    "arc-challenge": "answer4",
    "openbookqa": "answer4",
}
"""As the published data of LLM-Adapters word them."""


def read(subset: Any, folder: Path) -> Any:
    task = Commonsense(subset, validation=2)
    for name, rows in zip(task.files(), (6, 3), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame([ROWS[subset]] * rows).to_parquet(folder / name)
    return task.read(folder)


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_answer_is_worded_as_published(subset: Any, tmp_path: Path) -> None:
    splits = read(subset, tmp_path)
    assert {name: len(rows) for name, rows in splits.items()} == {
        "train": 4,
        "validation": 2,
        "test": 3,
    }
    for rows in splits.values():
        assert set(rows["target"]) == {f"the correct answer is {ANSWERS[subset]}"}


def test_the_question_is_worded_as_published(tmp_path: Path) -> None:
    prompt = read("hellaswag", tmp_path)["test"]["prompt"][0]
    assert prompt == (
        "Please choose the correct ending to complete the given sentence: Playing drums: A man\n\n"
        "Ending1: is Ending2: starts Ending3: begins Ending4: plays\n\n"
        "Answer format: ending1/ending2/ending3/ending4"
    )
    prompt = read("boolq", tmp_path)["test"]["prompt"][0]
    assert prompt == (
        "Please answer the following question with true or false, question: is the sky blue?\n\n"
        "Answer format: true/false"
    )
