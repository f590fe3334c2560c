"""Files of the user's own whose texts are to be written: columns, what is said of the kind."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.guess import GuessError, Options, guess
from finegrid.planning.plan import make_plan
from finegrid.prepare.task import prepare_task
from finegrid.records.specification import Task
from tests.planning.own_files.tables import SPLIT, Problems, own, written

COLUMNS = {"prompt": "question", "target": "answer"}
ROWS = [{"question": f"what is {n}", "answer": f"so #### {n}"} for n in range(20)]
SAID = {"kind": "causal-lm", "files": "a.jsonl", "columns": COLUMNS, "split": SPLIT}


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def decoder(small: dict[str, Any]) -> dict[str, Any]:
    """The small benchmark with a decoder of 128 positions, and the rows in a file."""
    written("a.jsonl", lines(ROWS))
    content = copy.deepcopy(small)
    content["models"]["tiny"]["configuration"] |= {
        "model_type": "llama",
        "max_position_embeddings": 128,
    }
    return content


def planned(content: dict[str, Any], **said: Any) -> Task:
    plan = make_plan(parse_benchmark(own(content, **(SAID | said))))
    return next(iter(plan.runs.values())).task


BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a key of another kind": (
        {
            "kind": "seq2seq",
            "columns": {"source": "question", "target": "answer"},
            "encoding": {"template": "chat"},
        },
        ["encoding: ", "allowed for kind 'seq2seq': decoding, answer, selects_by"],
    ),
    "a template without a prompt": (
        {"encoding": {"template": "Q: {question}"}},
        ["encoding.template: ", '"Q: {question}" is not allowed', "{prompt}"],
    ),
    "pieces behind a prompt": (
        {"encoding": {"pieces": True}},
        ["encoding: pieces: true is for plain texts; allowed: columns without prompt"],
    ),
    "pieces of a conversation": (
        {"encoding": {"pieces": True, "template": "chat"}},
        ["encoding: ", "pieces: true is for plain texts; allowed: template: none"],
    ),
    "no pattern": ({"answer": "(#"}, ["answer: ", "no regular expression"]),
    "two groups": ({"answer": "(a)(b)"}, ["answer: ", "2 groups; allowed: one"]),
    "no temperature": (
        {"decoding": {"temperature": 0}},
        ["decoding.temperature: 0 is not allowed"],
    ),
    "an unknown key": ({"decoding": {"beams": 4}}, ["decoding.beams: "]),
    "no way to select": ({"selects_by": "score"}, ["selects_by: ", "'loss' or 'metric'"]),
    "a metric of classes": (
        {"metrics": ["accuracy"]},
        ["metrics: ", "has texts; allowed: ", "exact_match"],
    ),
    "labels": ({"labels": ["a", "b"]}, ["labels: kind 'causal-lm' has no classes"]),
    "a column beside conversations": (
        {"columns": {"messages": "question", "target": "answer"}},
        ["columns.target: messages holds all; allowed: messages alone"],
    ),
    "what are no conversations": (
        {"columns": {"messages": "question"}},
        ["columns.messages: a.jsonl, column 'question': blank or wrong in line 1"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named(decoder: dict[str, Any], problems: Problems, name: str) -> None:
    said, fragments = BAD[name]
    (line,) = problems(own(decoder, **(SAID | said)))
    assert line.startswith(f"tasks.own.{fragments[0]}"), line
    assert all(fragment in line for fragment in fragments), line


def test_an_encoder_is_refused_for_it_sees_what_it_is_to_write(
    small: dict[str, Any], problems: Problems
) -> None:
    written("a.jsonl", lines(ROWS))
    (line,) = problems(own(small, **SAID))
    assert "model 'tiny': its tokens see those after them" in line


def test_positions_have_to_hold_what_is_written(
    decoder: dict[str, Any], problems: Problems
) -> None:
    """Of 128, prompts may take 31; plain text is not written."""
    (line,) = problems(own(decoder, **SAID, decoding={"max_new_tokens": 98}))
    assert "128 positions, and writes up to 98 tokens after a prompt; allowed: up to 31" in line
    assert planned(decoder, decoding={"max_new_tokens": 97})
    assert planned(decoder, decoding={"max_new_tokens": 98}, columns={"target": "answer"})


def test_what_is_said_of_the_kind_is_a_part_of_the_task(decoder: dict[str, Any]) -> None:
    plain, said = planned(decoder), planned(decoder, answer="#### (.*)")
    assert plain.options["asked"] == {
        "encoding": {"template": "none", "packing": False},
        "decoding": {
            "max_new_tokens": 64,
            "num_beams": 1,
            "temperature": None,
            "top_p": 1.0,
            "top_k": None,
            "seed": 0,
            "repetition_penalty": 1.0,
            "no_repeat_ngram_size": 0,
            "length_penalty": 1.0,
        },
        "answer": None,
        "selects_by": "loss",
    }
    assert said.options["asked"]["answer"] == "#### (.*)"  # type: ignore[index, call-overload]
    assert plain.key != said.key


def test_a_pattern_that_matches_no_target_is_refused(decoder: dict[str, Any], folder: Path) -> None:
    task = planned(decoder, answer="= (.*)")
    with pytest.raises(ValueError, match=r"answer: '= \(\.\*\)' matches nothing in 10 of 10"):
        prepare_task(task, folder / "prepared")


CONVERSATIONS = [
    {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": f"name {n}"},
            {"role": "assistant", "content": f"it is {n}"},
        ]
    }
    for n in range(20)
]
ALPACA = [{"instruction": f"say {n}", "input": "loud" * (n % 2), "output": "x"} for n in range(20)]


@pytest.mark.parametrize(
    ("rows", "columns", "asked", "first"),
    [
        (
            CONVERSATIONS,
            {"messages": "messages"},
            {"encoding": {"template": "chat"}},
            {
                "earlier": '[{"role": "system", "content": "be brief"}]',
                "prompt": "name 0",
                "target": "it is 0",
            },
        ),
        (
            ALPACA,
            {"prompt": ("instruction", "input"), "target": "output"},
            {},
            {"prompt": "say 0", "target": "x"},
        ),
        (ROWS, COLUMNS, {}, {"prompt": "what is 0", "target": "so #### 0"}),
    ],
    ids=["conversations", "alpaca", "questions"],
)
def test_the_usual_forms_are_guessed_and_read(
    decoder: dict[str, Any],
    folder: Path,
    rows: list[Any],
    columns: dict[str, Any],
    asked: dict[str, Any],
    first: dict[str, str],
) -> None:
    file = Path(written("b.jsonl", lines(rows)))
    found = guess({"train": (file,)}, Options())
    assert (found.kind, found.columns, found.asked) == ("causal-lm", columns, asked)
    for split in ("validation", "test"):
        written(f"{split}.jsonl", lines([rows[1 if split == "test" else 2]]))
    files = {"train": "b.jsonl", "validation": "validation.jsonl", "test": "test.jsonl"}
    given = {key: list(one) if isinstance(one, tuple) else one for key, one in columns.items()}
    task = planned(decoder, files=files, split=None, columns=given, **asked)
    import pyarrow.parquet as pq

    prepare_task(task, folder / "prepared")
    row = pq.read_table(folder / "prepared" / "train.parquet").to_pylist()[0]
    assert row == {"id": "train-1"} | first


def text(number: int, words: int = 6) -> str:
    return " ".join(f"word{number * 7 + at}" for at in range(words))


SAYS: dict[str, tuple[dict[str, Any], dict[str, str] | str]] = {
    "one text is learnt as it stands": ({"kind": "causal-lm"}, {"target": "text"}),
    "the text is named": ({"kind": "causal-lm", "text": "text"}, {"target": "text"}),
    "what follows is named, and one other is a text": (
        {"kind": "causal-lm", "label": "code"},
        {"prompt": "text", "target": "code"},
    ),
    "both are named": (
        {"kind": "seq2seq", "text": "rejected", "label": "chosen"},
        {"source": "rejected", "target": "chosen"},
    ),
    "what follows is named, and another has a usual name": (
        {"kind": "causal-lm", "label": "chosen"},
        {"prompt": "prompt", "target": "chosen"},
    ),
    "two may be learnt": (
        {"kind": "causal-lm"},
        "of the columns chosen, rejected several may be what is learnt; say it: --label, and "
        "--text of what it follows",
    ),
    "two may stand before it": (
        {"kind": "causal-lm", "label": "best"},
        "of the columns first, second several may be what it follows; say it: --text",
    ),
    "there is nothing to translate": (
        {"kind": "seq2seq", "label": "text"},
        "no other column holds texts, and kind 'seq2seq' needs one that text follows; say it: "
        "--text",
    ),
    "a column that is not there": (
        {"kind": "causal-lm", "label": "txt"},
        "--label: 'txt' is no column; allowed: number, text",
    ),
}


@pytest.mark.parametrize("name", SAYS)
def test_columns_of_texts_are_taken_as_they_are_said(folder: Path, name: str) -> None:
    """Preferences, programs and plain texts, whose columns have no usual names together."""
    given, expected = SAYS[name]
    columns = {
        "what follows is named, and one other is a text": ["text", "code"],
        "both are named": ["chosen", "rejected"],
        "what follows is named, and another has a usual name": ["prompt", "chosen", "rejected"],
        "two may be learnt": ["chosen", "rejected"],
        "two may stand before it": ["first", "second", "best"],
    }.get(name, ["text"])
    rows = [
        {"number": n} | {column: text(n + 50 * at) for at, column in enumerate(columns)}
        for n in range(20)
    ]
    file = Path(written("c.jsonl", lines(rows)))
    if isinstance(expected, str):
        with pytest.raises(GuessError) as caught:
            guess({"train": (file,)}, Options(**given))
        assert str(caught.value) == expected
        return
    found = guess({"train": (file,)}, Options(**given))
    assert (found.kind, found.columns) == (given["kind"], expected)
    assert found.asked == ({"encoding": {"pieces": True}} if len(expected) == 1 else {})


def test_texts_without_a_label_are_told_of_kinds_that_write(folder: Path) -> None:
    file = Path(written("d.jsonl", lines([{"text": text(n)} for n in range(20)])))
    with pytest.raises(GuessError, match=r"none looks like a label; say it: --label, or --kind "):
        guess({"train": (file,)}, Options())
    with pytest.raises(GuessError, match=r"too many different values .* --kind .*causal-lm"):
        guess({"train": (file,)}, Options(text="text", label="text"))


@pytest.mark.parametrize("answers", [(True, False), ("yes", "no"), ("Yes", "No")])
def test_answers_of_two_words_are_classes(folder: Path, answers: tuple[Any, Any]) -> None:
    """As those of BoolQ, on a passage."""
    rows = [
        {"question": text(n), "answer": answers[n % 2], "passage": text(n + 50, 30)}
        for n in range(20)
    ]
    file = Path(written("e.jsonl", lines(rows)))
    found = guess({"train": (file,)}, Options())
    columns = {"text": "question", "text_pair": "passage", "label": "answer"}
    assert (found.kind, found.columns) == ("text-classification", columns)
    asked = guess({"train": (file,)}, Options(kind="causal-lm"))
    assert asked.columns == {"prompt": "question", "target": "answer"}


@pytest.mark.parametrize(
    "given", [{"kind": "multiple-choice"}, {"kind": "question-answering", "label": "text"}]
)
def test_a_kind_of_other_columns_is_refused_where_they_have_no_usual_names(
    folder: Path, given: dict[str, Any]
) -> None:
    file = Path(written("f.jsonl", lines([{"text": text(n), "more": n % 2} for n in range(20)])))
    with pytest.raises(GuessError, match=r"^--kind: .* names context, question, "):
        guess({"train": (file,)}, Options(**given))


def test_a_guess_says_that_most_texts_are_longer_than_it_takes(folder: Path) -> None:
    file = Path(written("g.jsonl", lines([{"text": text(n, 600)} for n in range(20)])))
    found = guess({"train": (file,)}, Options(kind="causal-lm"))
    assert found.max_length == 512
    told = "max_length: 512, the most that is guessed, for 95 % of the texts have up to 600 words"
    assert told in found.reasons


@pytest.mark.parametrize("first", ["instruction", "prompt"])
def test_other_texts_of_two_words_are_written(folder: Path, first: str) -> None:
    second = "output" if first == "instruction" else "completion"
    rows = [{first: text(n), second: ("yes", "no")[n % 2]} for n in range(20)]
    file = Path(written("h.jsonl", lines(rows)))
    found = guess({"train": (file,)}, Options())
    assert (found.kind, found.columns) == ("causal-lm", {"prompt": first, "target": second})
