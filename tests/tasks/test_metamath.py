import json
from pathlib import Path

import pandas as pd
import pytest
from pydantic import JsonValue

from finegrid.prepare import task as preparing
from finegrid.prepare.task import prepare_task
from finegrid.records.specification import Source, Task
from tasks.metamath import MetaMath

GSM8K = Source(uri="hub:openai/gsm8k", revision="0" * 40)
TOLD = "1 + 1\n#### 2\nThe answer is: 2"


def row(number: int, response: str = TOLD, question: str = "") -> dict[str, str]:
    query = f"What is {number}?"
    return {"query": query, "response": response, "original_question": question or query}


def write(folder: Path) -> None:
    rows = [row(number, question=f"of {number // 2}") for number in range(12)]
    rows += [row(12, "no end"), row(13, "x" * 2000 + "The answer is: 2")]
    (folder / "MetaMathQA-395K.json").write_text(json.dumps(rows), encoding="utf-8")
    path = folder / "scored" / "main" / "test-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    answer = "She has 3*400=<<3*400=1200>>1200 eggs.\n#### 1,200"
    pd.DataFrame({"question": ["How many?"], "answer": [answer]}).to_parquet(path)


def test_rows_are_as_the_board_takes_them(tmp_path: Path) -> None:
    write(tmp_path)
    splits = MetaMath(GSM8K, validation=2).read(tmp_path)
    taken = {*splits["train"]["prompt"], *splits["validation"]["prompt"]}
    assert "What is 12?" not in taken  # says no answer
    assert "What is 13?" not in taken  # is too long
    assert len(taken) == 12
    (test,) = splits["test"].itertuples()
    assert test.target == "She has 3*400=1200 eggs.\nThe answer is: 1200"


def test_what_stems_from_one_question_is_in_one_split(tmp_path: Path) -> None:
    write(tmp_path)
    splits = MetaMath(GSM8K, validation=3).read(tmp_path)
    held_out, trained = (
        {int(prompt.split()[-1][:-1]) // 2 for prompt in splits[name]["prompt"]}
        for name in ("validation", "train")
    )
    assert not held_out & trained


def test_both_sources_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def fetch(source: Source, folder: Path, files: tuple[str, ...], **named: Path) -> None:
        fetched.append((source.uri, files))
        if source == GSM8K:
            write(folder.parent)

    monkeypatch.setattr(preparing, "fetch", fetch)
    source = Source(uri="hub:meta-math/MetaMathQA", revision="1" * 40)
    scored = GSM8K.model_dump(mode="json")
    options: dict[str, JsonValue] = {"scored": scored, "validation": 2}
    prepared = prepare_task(
        Task(name="m", task="metamath", source=source, options=options), tmp_path
    )
    assert fetched == [
        ("hub:meta-math/MetaMathQA", ("MetaMathQA-395K.json",)),
        ("hub:openai/gsm8k", ("main/test-00000-of-00001.parquet",)),
    ]
    assert prepared.splits["test"].n == 1
