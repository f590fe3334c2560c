"""Files of the user's own of texts with entities at places, as tools for annotation export them."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from finegrid.planning.guess import Guess, Options, guess
from finegrid.prepare.task import prepare_task
from tests.planning.own_files.tables import SPLIT, Problems, own, planned, written

PEOPLE = ["Zoë Ek", "Anna"]
TEXTS = [f"{PEOPLE[n % 2]} left EU, {n} times." for n in range(20)]
ENTITIES = [
    [(0, len(PEOPLE[n % 2]), "PER"), (len(PEOPLE[n % 2]) + 6, len(PEOPLE[n % 2]) + 8, "ORG")]
    for n in range(20)
]
ROWS = [
    (
        [*PEOPLE[n % 2].split(), "left", "EU", ",", f"{n}", "times", "."],
        [*["B-PER", "I-PER"][: 2 - n % 2], "O", "B-ORG", "O", "O", "O", "O"],
    )
    for n in range(20)
]
"""The words of each text and their tags, by hand."""
PAIRS = list(zip(TEXTS, ENTITIES, strict=True))
SAID: dict[str, Any] = {"kind": "token-classification", "split": SPLIT}


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def regions(text: str, entities: list[tuple[int, int, str]]) -> list[dict[str, Any]]:
    return [
        {"start": start, "end": end, "text": text[start:end], "labels": [label]}
        for start, end, label in entities
    ]


def doccano() -> str:
    rows = [
        {"id": n, "text": text, "label": entities, "Comments": []}
        for n, (text, entities) in enumerate(PAIRS)
    ]
    return "\ufeff" + lines(rows).replace("\n", "\r\n") + "\r\n"


def label_studio() -> str:
    """The whole JSON, in which a task was skipped."""
    rows = [
        {
            "id": n,
            "annotations": [
                {
                    "completed_by": 1,
                    "was_cancelled": False,
                    "result": [
                        {"value": value, "from_name": "ner", "to_name": "text", "type": "labels"}
                        for value in regions(text, entities)
                    ],
                }
            ],
            "file_upload": "1a2b3c4d-the-names-of-people-and-of-other-things.txt",
            "predictions": [],
            "data": {"note": text},
        }
        for n, (text, entities) in enumerate(PAIRS)
    ]
    skipped: dict[str, Any] = {
        "annotations": [{"was_cancelled": True, "result": []}],
        "data": {"note": "No, no"},
    }
    skipped["file_upload"] = rows[0]["file_upload"]
    return json.dumps([*rows, skipped], ensure_ascii=False, indent=1)


def short_label_studio() -> str:
    """JSON-MIN, whose first task has no entity and then no key for them."""
    rows = [
        {"text": text, "id": n, "ner": regions(text, entities), "annotator": 1, "lead_time": 4.2}
        for n, (text, entities) in enumerate(PAIRS)
    ]
    return json.dumps([{"text": "No, no", "id": 99, "annotator": 1}, *rows])


def table_of_label_studio() -> list[list[Any]]:
    rows = [[text, json.dumps(regions(text, entities))] for text, entities in PAIRS]
    return [["text", "ner", "annotator"], *([*row, "a@b.org"] for row in rows)]


def prodigy() -> str:
    """Two of whose examples were not accepted."""
    rows: list[dict[str, Any]] = [
        {
            "text": text,
            "_input_hash": -n,
            "tokens": [{"text": text.split()[0], "start": 0, "end": 4, "id": 0, "ws": True}],
            "spans": [dict(zip(("start", "end", "label"), one, strict=True)) for one in entities],
            "answer": "accept",
        }
        for n, (text, entities) in enumerate(PAIRS)
    ]
    refused = [{"text": f"No {answer}", "answer": answer} for answer in ("reject", "ignore")]
    return lines([*rows, *refused])


FORMS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "doccano": ("a.jsonl", doccano(), {"columns": {"text": "text", "spans": "label"}}),
    "Label Studio": (
        "a.json",
        label_studio(),
        {
            "columns": {"text": "data.note", "spans": "annotations"},
            "drop": {"spans": ["was_cancelled"]},
        },
    ),
    "Label Studio in short": (
        "a.json",
        short_label_studio(),
        {"columns": {"text": "text", "spans": "ner"}},
    ),
    "Label Studio as a table": (
        "a.csv",
        table_of_label_studio(),
        {"columns": {"text": "text", "spans": "ner"}},
    ),
    "Prodigy": (
        "a.jsonl",
        prodigy(),
        {
            "columns": {"text": "text", "spans": "spans", "answer": "answer"},
            "drop": {"answer": ["ignore", "reject"]},
        },
    ),
    "spaCy": (
        "a.jsonl",
        lines([{"text": text, "entities": entities} for text, entities in PAIRS]),
        {"columns": {"text": "text", "spans": "entities"}},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_texts_with_entities_become_words_with_tags(
    small: dict[str, Any], tmp_path: Path, form: str
) -> None:
    name, content, said = FORMS[form]
    task = planned(small, files=written(name, content), **SAID | said)
    assert task.options["asked"] == {"scheme": "IOB2"}
    manifest = prepare_task(task, tmp_path / "task")
    assert manifest.labels == ("B-ORG", "B-PER", "I-ORG", "I-PER", "O")
    assert manifest.metrics[0] == "span_f1"
    found = [
        (row["tokens"], row["tags"])
        for split in manifest.splits
        for row in pq.read_table(tmp_path / "task" / f"{split}.parquet").to_pylist()
    ]
    lacking = [(["No", ",", "no"], ["O", "O", "O"])] if form == "Label Studio in short" else []
    assert sorted(found) == sorted([*ROWS, *lacking])


def guessed(name: str, content: Any, **given: Any) -> Guess:
    return guess({"train": (Path(written(name, content)),)}, Options(**given))


@pytest.mark.parametrize("form", FORMS)
def test_such_a_table_is_recognised(form: str) -> None:
    name, content, said = FORMS[form]
    found = guessed(name, content)
    assert (found.kind, found.columns) == (SAID["kind"], said["columns"])
    assert found.asked == ({"drop": said["drop"]} if "drop" in said else {})
    assert found.max_length == 32
    assert "labels: ORG, PER; words are tagged by them as in IOB2" in found.reasons
    assert any("rows without an entity: 1," in one for one in found.reasons) == ("short" in form)


def test_a_table_of_classes_or_of_another_kind_stays_one() -> None:
    rows = [{"text": text, "label": ["a", "b"][n % 2]} for n, text in enumerate(TEXTS)]
    assert guessed("a.jsonl", lines(rows)).kind == "text-classification"
    marked = [row | {"spans": entities} for row, entities in zip(rows, ENTITIES, strict=True)]
    said = {"label": "label", "kind": "text-classification"}
    assert guessed("b.jsonl", lines(marked), **said).columns == {
        "text": "text",
        "text_pair": None,
        "label": "label",
    }


def test_a_task_of_words_is_registered_as_before(small: dict[str, Any], problems: Problems) -> None:
    """Else its runs would be other runs."""
    rows = [{"tokens": tokens, "tags": tags} for tokens, tags in ROWS]
    columns = {"tokens": "tokens", "tags": "tags"}
    task = planned(small, files=written("a.jsonl", lines(rows)), columns=columns, **SAID)
    assert task.options["columns"] == columns
    assert task.options["drop"] == {"tokens": [], "tags": []}
    assert task.options["asked"] == {"scheme": "IOB2"}
    dropped = own(small, files="a.jsonl", columns=columns, drop={"spans": [""]}, **SAID)
    assert problems(dropped) == [
        "tasks.own.drop.spans: no row has ''; allowed: what some rows have"
    ]


COLUMNS = {"text": "text", "spans": "label"}


def with_row(text: str, entities: list[Any]) -> str:
    return lines(
        [{"text": text, "label": entities} for text, entities in [*PAIRS, (text, entities)]]
    )


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "a cut word": (
        with_row("Annabel left", [[0, 4, "PER"]]),
        {},
        "columns.spans: a.jsonl, column 'label': line 21: PER 'Anna' (0 to 4) cuts the word "
        "'Annabel'; allowed: whole words; or alignment: expand, by which such an entity is widened",
    ),
    "an unknown way": (with_row("a", []), {"alignment": "contract"}, 'alignment: "contract" is'),
    "a blank text": (
        with_row(" ", []),
        {},
        "columns.text: a.jsonl, column 'text': line 21: blank; allowed: text; or drop: {text:",
    ),
    "no text": (
        with_row("a", []),
        {"columns": {"spans": "label"}},
        "columns.text: this key is required beside spans",
    ),
    "no spans": (with_row("a", []), {"columns": {"text": "text"}}, "columns.text: allowed: beside"),
    "words beside": (
        with_row("a", []),
        {"columns": COLUMNS | {"tokens": "text"}},
        "columns.tokens: spans holds all; allowed: spans beside text, answer",
    ),
    "no entity at all": (
        lines([{"text": text, "label": []} for text in TEXTS]),
        {},
        "columns.spans: all tags are 'O'; allowed: 2 tags or more",
    ),
    "another scheme": (with_row("a", []), {"scheme": "BIOES"}, 'scheme: "BIOES" is not allowed'),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named(small: dict[str, Any], problems: Problems, name: str) -> None:
    content, said, message = BAD[name]
    written("a.jsonl", content)
    (line,) = problems(own(small, **SAID | {"files": "a.jsonl", "columns": COLUMNS} | said))
    assert line.startswith(f"tasks.own.{message}"), line


def test_a_type_that_training_lacks_is_named_and_its_rows_may_be_dropped(
    small: dict[str, Any], problems: Problems
) -> None:
    """A type of which training has single words alone may have more elsewhere."""
    written("a.jsonl", with_row("a", []))
    written("b.jsonl", lines([{"text": "of the Red Cross", "label": [[7, 16, "ORG"]]}]))
    rows = [{"text": "Oslo", "label": [[0, 4, "LOC"]]}, {"text": "EU", "label": [[0, 2, "ORG"]]}]
    written("c.jsonl", lines(rows))
    files = {"train": "a.jsonl", "validation": "b.jsonl", "test": "c.jsonl"}
    said = SAID | {"files": files, "columns": COLUMNS, "split": None}
    (line,) = problems(own(small, **said))
    assert "columns.spans: test: 'B-LOC', the first in line 1: no tags of the training" in line
    assert "drop: {spans: [LOC]}, which leaves out rows with them" in line
    options: Any = planned(small, **said, drop={"spans": ["LOC"]}).options
    assert options["drop"]["spans"] == ["LOC"]
