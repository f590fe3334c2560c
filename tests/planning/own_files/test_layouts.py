"""Files as public data sets and tools have them: what is guessed of each, what is read, refused."""

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finegrid.planning.guess import Guess, GuessError, Options, guess
from finegrid.prepare.task import prepare_task
from tests.planning.own_files.tables import SPLIT, Problems, own, planned, prepared, written


@pytest.fixture
def decoder(small: dict[str, Any]) -> dict[str, Any]:
    """The small benchmark with a decoder."""
    content = copy.deepcopy(small)
    changed = {"model_type": "llama", "max_position_embeddings": 128}
    content["models"]["tiny"]["configuration"] |= changed
    return content


WORDS = ["a", "film", "of", "love", "and", "of", "music"]


def text(n: int) -> str:
    return f"{' '.join(WORDS[n % 7 :] + WORDS[: n % 7])} {n}"


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def guessed(name: str, content: Any, **given: Any) -> Guess:
    return guess({"train": (Path(written(name, content)),)}, Options(**given))


def of_rows(**columns: Any) -> str:
    """Twenty rows, whose values are made by number."""
    return lines([{name: make(n) for name, make in columns.items()} for n in range(20)])


def classes(n: int) -> list[str]:
    return [["neg", "pos"][n % 2]]


def test_a_label_may_stand_in_a_list_of_one(small: dict[str, Any], tmp_path: Path) -> None:
    """As doccano exports classes."""
    content = of_rows(id=int, text=text, label=classes)
    found = guessed("a.jsonl", content)
    assert (found.kind, found.columns) == (
        "text-classification",
        {"text": "text", "text_pair": None, "label": "label"},
    )
    columns = {"text": "text", "label": "label"}
    task = planned(small, files="a.jsonl", columns=columns, split=SPLIT)
    frames = prepared(task, tmp_path / "prepared").values()
    rows = [pair for one in frames for pair in zip(one["text"], one["label"], strict=True)]
    assert sorted(rows) == sorted((text(n), ["neg", "pos"][n % 2]) for n in range(20))


@pytest.mark.parametrize("several", [["neg", "pos"], [0, 2]], ids=str)
def test_several_labels_of_a_row_are_refused(
    small: dict[str, Any], problems: Problems, several: list[Any]
) -> None:
    content = of_rows(text=text, label=lambda n: several if n in (3, 5) else several[:1])
    with pytest.raises(GuessError, match="label: 2 rows have several labels; allowed: one label"):
        guessed("a.jsonl", content)
    columns = {"text": "text", "label": "label"}
    (line,) = problems(own(small, files="a.jsonl", columns=columns, split=SPLIT))
    assert "column 'label': blank or wrong in line 4, line 6 (2 in all); allowed: one label" in line


def test_lists_in_cells_are_no_labels() -> None:
    cells = ('["a", "b"]', '["a"]')
    rows = [["text", "label"], *([text(n), cells[n % 2]] for n in range(20))]
    with pytest.raises(GuessError, match="is a list or a record; allowed: one label a row"):
        guessed("a.csv", rows)


def test_labels_in_columns_of_their_own_are_asked_for() -> None:
    """As those of the toxic comments of Kaggle."""
    rows = [["id", "comment_text", "toxic", "threat"]]
    rows += [[f"{n:08x}", text(n), str(n % 2), str(n // 2 % 2)] for n in range(20)]
    message = "of the columns toxic, threat several may be labels; say it: --label, of which one is"
    with pytest.raises(GuessError, match=message):
        guessed("a.csv", rows)
    found = guessed("b.csv", rows, label="threat")
    assert (found.kind, (found.columns or {})["label"]) == ("text-classification", "threat")


def test_an_instruction_is_answered_whatever_category_it_has() -> None:
    """As those of Dolly, whose context may be blank."""
    content = of_rows(
        instruction=lambda n: f"Say the number {n}",
        context=lambda n: "" if n % 2 else f"It is {n} today",
        response=lambda n: f"It is {n}",
        category=lambda n: ["open_qa", "closed_qa"][n % 2],
    )
    found = guessed("dolly.jsonl", content)
    columns = {"prompt": ("instruction", "context"), "target": "response"}
    assert (found.kind, found.columns) == ("causal-lm", columns)
    assert guessed("b.jsonl", content, label="category").kind == "text-classification"


CONTEXTS = [f"The town of Bel{n} has {n} old bridges." for n in range(6)]


def nested(*, unanswerable: bool) -> str:
    """Two questions a context, as in the files of SQuAD; the second may have no answer."""
    articles = []
    for n, context in enumerate(CONTEXTS):
        answers = [{"answer_start": context.index(f"{n} old"), "text": f"{n}"}]
        found: list[dict[str, Any]] = [
            {"id": f"{n}a", "question": f"How many has Bel{n}?", "answers": answers},
            {"id": f"{n}b", "question": f"How many at Bel{n}?", "answers": answers},
        ]
        if unanswerable:
            found[1] |= {"is_impossible": True, "answers": [], "plausible_answers": answers}
        paragraphs = [{"context": context, "qas": found}]
        articles.append({"title": f"Bel{n}", "paragraphs": paragraphs})
    return json.dumps({"version": "v2.0", "data": articles}, indent=unanswerable or None)


@pytest.mark.parametrize("unanswerable", [False, True])
def test_questions_are_read_as_squad_nests_them(
    small: dict[str, Any], tmp_path: Path, unanswerable: bool
) -> None:
    found = guessed("dev-v2.0.json", nested(unanswerable=unanswerable))
    columns = {name: name for name in ("context", "question", "answers")}
    assert (found.kind, found.columns) == ("question-answering", columns)
    assert found.asked == ({"unanswerable": True} if unanswerable else {})
    split = SPLIT | {"group": "title"}
    said = {"kind": found.kind, "columns": columns, "split": split} | found.asked
    manifest = prepare_task(planned(small, files="dev-v2.0.json", **said), tmp_path / "task")
    rows = [
        row
        for name in manifest.splits
        for row in pq.read_table(tmp_path / "task" / f"{name}.parquet").to_pylist()
    ]
    for row in rows:
        n = CONTEXTS.index(row["context"])
        known = row["question"].startswith("How many has") or not unanswerable
        answers = {"text": [f"{n}"], "answer_start": [21]}
        assert row["answers"] == (answers if known else {"text": [], "answer_start": []})
    assert len(rows) == 2 * len(CONTEXTS)


def test_what_is_wrong_in_nested_questions_is_named(
    small: dict[str, Any], problems: Problems
) -> None:
    said = {"kind": "question-answering", "split": SPLIT}
    said["columns"] = {name: name for name in ("context", "question", "answers")}
    written("a.json", json.dumps({"data": [{"paragraphs": [{"context": "a"}]}]}))
    (line,) = problems(own(small, files="a.json", **said))
    assert "a.json, item 1, paragraph 1: 'qas' is no list of objects; allowed: one, as in S" in line
    written("b.json", nested(unanswerable=False).replace('"answer_start": 21', '"answer_start": 9'))
    (line,) = problems(own(small, files="b.json", **said))
    assert "item 1, paragraph 1, question 1: answer_start 9: the context has" in line


def test_an_answer_and_its_place_may_stand_in_two_columns() -> None:
    rows = [["id", "context", "question", "answer_text", "answer_start"]]
    rows += [[f"{n}", one, f"How many has Bel{n}?", f"{n}", "21"] for n, one in enumerate(CONTEXTS)]
    found = guessed("a.csv", rows)
    answers = ("answer_text", "answer_start")
    columns = {"context": "context", "question": "question", "answers": answers}
    assert (found.kind, found.columns) == ("question-answering", columns)


def test_rows_may_stand_in_a_list_that_is_called_data() -> None:
    rows = [{"text": text(n), "label": n % 2} for n in range(20)]
    content = json.dumps({"version": "0.1.0", "data": rows}, indent=2)
    assert guessed("a.json", content).kind == "text-classification"


def test_questions_on_one_context_are_kept_in_one_split() -> None:
    rows = [
        {"context": f"Oslo {n // 2}", "question": f"where {n}?", "answers": ANSWER}
        for n in range(20)
    ]
    found = guessed("a.jsonl", lines(rows))
    assert found.divided == {"group": "context"}
    why = "split.group: those on one are in one split, for 20 questions are on 10 contexts"
    assert why in found.reasons
    assert not guessed("b.jsonl", lines(rows[:18])).divided


ANSWER = {"text": ["Oslo"], "answer_start": [0]}


def translations(name: str) -> None:
    rows = [
        {"id": f"{n}", "translation": {"en": text(n), "de": f"auf {text(n)}"}} for n in range(9)
    ]
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), name)
    else:
        written(name, lines(rows))


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_translations_are_read_as_the_hub_has_them(
    small: dict[str, Any], tmp_path: Path, name: str, decoder: dict[str, Any]
) -> None:
    translations(name)
    found = guess({"train": (Path(name),)}, Options())
    columns = {"prompt": "translation.en", "target": "translation.de"}
    assert (found.kind, found.columns) == ("causal-lm", columns)
    assert "kind: seq2seq is for models of another architecture that write: --kind" in found.reasons
    turned = guess({"train": (Path(name),)}, Options(kind="seq2seq"))
    assert turned.columns == {"source": "translation.en", "target": "translation.de"}
    said = {"kind": "causal-lm", "columns": columns, "split": SPLIT}
    prepare_task(planned(decoder, files=name, **said), tmp_path / "task")
    row = pq.read_table(tmp_path / "task" / "train.parquet").to_pylist()[0]
    assert row["target"] == f"auf {row['prompt']}"


def test_two_texts_a_line_are_a_source_and_its_target() -> None:
    """As pairs of sentences with their origin, and without a header."""
    pairs = "".join(f"{text(n)}.\tauf {text(n)}.\tCC-BY 2.0 by user {n}\n" for n in range(20))
    found = guessed("deu.txt", pairs)
    assert (found.columns, found.how.header) == ({"prompt": 0, "target": 1}, False)
    asked = [["Timestamp", "How was the film for you?", "label"]]
    asked += [[f"{n}/1/2026", text(n), str(n % 2)] for n in range(20)]
    form = guessed("form.csv", asked)
    assert (form.how.header, (form.columns or {})["text"]) == (True, asked[0][1])


def test_a_text_file_of_conll_is_known_by_its_tags() -> None:
    words = "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n. . O O\n\n"
    found = guessed("eng.txt", "-DOCSTART- -X- -X- O\n\n" + words * 20)
    assert (found.kind, found.columns) == ("token-classification", {"tokens": 0, "tags": 3})
    assert found.how.sentences
    table = "text\tlabel\n" + "".join(f"{text(n)}\t{'BO'[n % 2]}\n" for n in range(20))
    assert not guessed("table.txt", table).how.sentences


def test_a_file_without_the_labels_is_refused() -> None:
    """As the test file of a contest."""
    written("train.csv", [["id", "text", "target"], *([n, text(n), n % 2] for n in range(20))])
    written("test.csv", [["id", "text"], *([n, text(n)] for n in range(5))])
    message = (
        "test.csv has no column 'target' to score by; allowed: the training file alone, train.csv"
    )
    with pytest.raises(GuessError, match=message):
        guess({"train": (Path("train.csv"),), "test": (Path("test.csv"),)}, Options())


def test_a_workbook_and_a_call_of_a_tool_are_refused(
    decoder: dict[str, Any], problems: Problems
) -> None:
    written("a.xlsx", b"PK\x03\x04")
    (line,) = problems(own(decoder, files="a.xlsx", split=SPLIT))
    assert "files.train: a.xlsx: a workbook, to be saved as CSV in UTF-8, a sheet each; all" in line
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    turns = [{"role": "user", "content": "Hello"}, call]
    written("b.jsonl", of_rows(messages=lambda n: turns))
    said = {"kind": "causal-lm", "columns": {"messages": "messages"}, "split": SPLIT}
    (line,) = problems(own(decoder, files="b.jsonl", **said))
    assert "line 5, ... (20 in all); allowed: a list of turns of system, user (human) and" in line


def test_rows_of_numbers_are_told_where_their_kind_is_explained() -> None:
    rows = [["age", "height", "target"], *([20 + n, 150 + n, n % 2] for n in range(20))]
    message = (
        "rows of numbers are of kind .*tabular-classification, tabular-regression, for which no"
    )
    with pytest.raises(GuessError, match=message):
        guessed("a.csv", rows)
