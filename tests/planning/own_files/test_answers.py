"""Files of the user's own with choices, or with answers in a context, in layouts that are met."""

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.guess import Options, guess
from finegrid.planning.plan import make_plan
from finegrid.prepare.task import prepare_task
from finegrid.records.specification import Task
from tests.planning.own_files.tables import SPLIT, Problems, own, written

ENDINGS = ["ending0", "ending1", "ending2", "ending3"]
SWAG = [
    ["sent1", "sent2", *ENDINGS, "label"],
    *(
        [f"A man {n} stands.", "He", f"sits {n}", "runs", "falls", "sings", n % 4]
        for n in range(12)
    ),
]
RACE = [
    {
        "article": f"passage {n}",
        "question": f"what is {n}?",
        "options": ["one", "two", f"more than {n}"][: 2 + n % 2],
        "answer": "AB"[n % 2],
    }
    for n in range(12)
]
TEXT = "It was shown in Oslo."
SQUAD = [
    {
        "context": f"{TEXT} {n}",
        "question": f"where {n}?",
        "answers": {"text": ["Oslo"] * (n % 3), "answer_start": [16] * (n % 3)},
    }
    for n in range(12)
]
SPANS = {"context": "context", "question": "question", "answers": "answers"}


@pytest.fixture
def encoder(small: dict[str, Any]) -> dict[str, Any]:
    """The small benchmark, and the files."""
    written("swag.csv", SWAG)
    for name, rows in (("race", RACE), ("squad", SQUAD)):
        written(f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return copy.deepcopy(small)


@pytest.fixture
def decoder(encoder: dict[str, Any]) -> dict[str, Any]:
    """The same benchmark with a decoder."""
    encoder["models"]["tiny"]["configuration"]["model_type"] = "llama"
    return encoder


def planned(content: dict[str, Any], **said: Any) -> Task:
    plan = make_plan(parse_benchmark(own(content, split=SPLIT, **said)))
    return next(iter(plan.runs.values())).task


def rows_of(task: Task, folder: Path) -> list[dict[str, Any]]:
    """All rows as they are prepared, in the order of their numbers."""
    manifest = prepare_task(task, folder / task.key)
    files = (folder / task.key / f"{name}.parquet" for name in manifest.splits)
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return sorted(rows, key=lambda row: int(row.pop("id").rpartition("-")[2]))


def test_columns_of_choices_are_one_list(encoder: dict[str, Any], tmp_path: Path) -> None:
    """As those of SWAG; the task says how many choices there are."""
    columns = {"context": "sent1", "question": "sent2", "choices": ENDINGS, "answer": "label"}
    task = planned(encoder, kind="multiple-choice", files="swag.csv", columns=columns)
    assert task.options["asked"] == {"answer_is": None, "choices": 4}
    assert rows_of(task, tmp_path)[5] == {
        "context": "A man 5 stands.",
        "question": "He",
        "choices": ["sits 5", "runs", "falls", "sings"],
        "answer": 1,
    }


def test_lists_of_choices_have_letters(encoder: dict[str, Any], tmp_path: Path) -> None:
    """As those of RACE, here of two or three choices."""
    columns = {
        **{"context": "article", "question": "question"},
        **{"choices": "options", "answer": "answer"},
    }
    task = planned(encoder, kind="multiple-choice", files="race.jsonl", columns=columns)
    found = rows_of(task, tmp_path)
    assert [row["answer"] for row in found] == [0, 1] * 6
    assert found[3]["choices"] == ["one", "two", "more than 3"]
    assert task.options["asked"] == {"answer_is": None, "choices": 3}


def test_answers_of_squad_are_read(encoder: dict[str, Any], tmp_path: Path) -> None:
    said = {"kind": "question-answering", "files": "squad.jsonl", "columns": SPANS}
    task = planned(encoder, unanswerable=True, **said)
    assert rows_of(task, tmp_path) == SQUAD
    dropped = planned(encoder, unanswerable=True, drop={"question": ["where 3?"]}, **said)
    assert len(rows_of(dropped, tmp_path)) == len(SQUAD) - 1


PIQA = [
    {"goal": f"open jar {n}", "sol1": "twist", "sol2": f"eat {n}", "label": n % 2}
    for n in range(12)
]
HELLASWAG = [
    {
        "ind": n,
        "activity_label": "Cooking",
        "ctx_a": f"A man {n} stirs.",
        "ctx_b": "he",
        "ctx": f"A man {n} stirs. he",
        "endings": ["eats.", "sings.", f"swims {n}.", "flies."],
        "source_id": f"activitynet~{n}",
        "label": str(n % 4),
    }
    for n in range(12)
]
ARC = [
    {
        "id": f"Mercury_{n}",
        "question": f"Which is {n}?",
        "choices": {"text": ["dew", "rock", f"ice {n}"], "label": list("123" if n % 2 else "ABC")},
        "answerKey": "2" if n % 2 else "C",
    }
    for n in range(12)
]
LAYOUTS: dict[str, tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]] = {
    "piqa": (
        PIQA,
        {
            "columns": {"question": "goal", "choices": ["sol1", "sol2"], "answer": "label"},
            "encoding": {"template": "Question: {question}\nAnswer: {choice}"},
        },
        {"question": "open jar 5", "choices": ["twist", "eat 5"], "answer": 1},
    ),
    "hellaswag": (
        HELLASWAG,
        {
            "columns": {
                **{"context": "activity_label", "question": "ctx"},
                **{"choices": "endings", "answer": "label"},
            },
            "encoding": {"template": "{context}: {question} {choice}"},
        },
        {
            **{"context": "Cooking", "question": "A man 5 stirs. he"},
            **{"choices": ["eats.", "sings.", "swims 5.", "flies."], "answer": 1},
        },
    ),
    "arc": (
        ARC,
        {"columns": {"question": "question", "choices": "choices", "answer": "answerKey"}},
        {"question": "Which is 5?", "choices": ["dew", "rock", "ice 5"], "answer": 1},
    ),
}


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_public_layouts_of_choices_by_likelihood_take_no_code(
    decoder: dict[str, Any], tmp_path: Path, name: str, ending: str
) -> None:
    """PIQA, HellaSwag and ARC as they are on the Hub."""
    rows, said, expected = LAYOUTS[name]
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), f"{name}.parquet")
    else:
        written(f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    task = planned(decoder, kind="multiple-choice-lm", files=f"{name}.{ending}", **said)
    assert rows_of(task, tmp_path)[5] == expected
    assert dict(task.options["asked"])["choices"] == len(expected["choices"])  # type: ignore[arg-type]


MC = {"question": "question", "choices": "options", "answer": "answer"}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no answers, and nothing said of them": (
        {"kind": "question-answering", "files": "squad.jsonl", "columns": SPANS},
        "columns.answers: squad.jsonl, column 'answers': line 1: no answer; allowed: one, or "
        "unanswerable: true (4 such rows: line 1, line 4, line 7, line 10)",
    ),
    "too many choices": (
        {"kind": "multiple-choice", "files": "race.jsonl", "columns": MC, "choices": 2},
        "columns.choices: race.jsonl, column 'options': line 2: 3 choices; allowed: up to 2",
    ),
    "another column": (
        {
            "kind": "multiple-choice",
            "files": "race.jsonl",
            "columns": MC | {"answer": "article"},
        },
        "columns.answer: race.jsonl, column 'article': line 1: 'passage 0' names none of 2 choices",
    ),
    "a key of another kind": (
        {"kind": "multiple-choice", "files": "race.jsonl", "columns": MC, "unanswerable": True},
        "unanswerable: allowed for kind 'multiple-choice': choices, answer_is",
    ),
    "a reading that there is not": (
        {"kind": "multiple-choice", "files": "race.jsonl", "columns": MC, "answer_is": "digit"},
        'answer_is: "digit" is not allowed',
    ),
    "a metric of two classes": (
        {"kind": "multiple-choice", "files": "race.jsonl", "columns": MC, "metrics": ["f1"]},
        "kind 'multiple-choice' has choices; allowed: accuracy",
    ),
    "a metric of likelihoods": (
        {"kind": "multiple-choice", "files": "race.jsonl", "columns": MC, "metrics": ["acc_norm"]},
        "it reads prediction_norm, which no prediction of this task has; allowed: accuracy",
    ),
    "an encoder that is to say how likely a choice is": (
        {"kind": "multiple-choice-lm", "files": "race.jsonl", "columns": MC},
        "allowed: a decoder",
    ),
    "a template that leaves out a column": (
        {
            **{"kind": "multiple-choice-lm", "files": "race.jsonl"},
            "columns": MC | {"context": "article"},
            "encoding": {"template": "Q: {question}\nA: {choice}"},
        },
        "columns.context: race.jsonl, column 'article': line 1: encoding.template: ",
    ),
    "a template without a choice": (
        {
            **{"kind": "multiple-choice-lm", "files": "race.jsonl", "columns": MC},
            "encoding": {"template": "Q: {question}"},
        },
        'encoding.template: "Q: {question}" is not allowed',
    ),
    "several columns of one text": (
        {
            "kind": "multiple-choice",
            "files": "race.jsonl",
            "columns": MC | {"question": ["article", "question"]},
        },
        "columns.question: ['article', 'question'] is not allowed; allowed: one column",
    ),
    "a negative stride": (
        {
            **{"kind": "question-answering", "files": "squad.jsonl", "columns": SPANS},
            **{"encoding": {"stride": -1}},
        },
        "encoding.stride: -1 is not allowed",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_one_sentence(
    encoder: dict[str, Any], problems: Problems, name: str
) -> None:
    said, words = BAD[name]
    (found,) = problems(own(encoder, split=SPLIT, **said))
    assert words in found, found


def test_such_tables_are_guessed(encoder: dict[str, Any]) -> None:
    swag, race, squad = (
        guess({"train": (Path(name),)}, Options())
        for name in ("swag.csv", "race.jsonl", "squad.jsonl")
    )
    assert (swag.kind, swag.columns) == (
        "multiple-choice",
        {"context": "sent1", "question": "sent2", "choices": tuple(ENDINGS), "answer": "label"},
    )
    assert (race.kind, race.columns) == ("multiple-choice", {"context": "article"} | MC)
    assert "the same columns are read by multiple-choice-lm" in race.reasons[0]
    asked = Options(kind="multiple-choice-lm")
    likeliest = guess({"train": (Path("race.jsonl"),)}, asked)
    assert (likeliest.kind, likeliest.columns) == ("multiple-choice-lm", race.columns)
    assert (squad.kind, squad.columns, squad.asked) == (
        "question-answering",
        SPANS,
        {"unanswerable": True},
    )
