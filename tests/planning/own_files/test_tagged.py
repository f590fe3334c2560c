"""Files of the user's own of words with a tag each: forms, columns, names of tags, and errors."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finegrid.planning.guess import Options, guess
from finegrid.prepare.task import prepare_task
from finegrid.records.iob2 import entities
from kinds.registry import kind_named
from tests.planning.own_files.tables import SPLIT, Problems, own, planned, written

NAMES = ["O", "B-PER", "I-PER", "B-LOC"]
ROWS: list[dict[str, Any]] = [
    {"tokens": ["Anna", "Ek", "left", f"{n}"], "ner_tags": ["B-PER", "I-PER", "O", "O"]}
    if n % 2
    else {"tokens": ["in", "Oslo", f"{n}"], "ner_tags": ["O", "B-LOC", "O"]}
    for n in range(20)
]
COLUMNS = {"tokens": "tokens", "tags": "ner_tags"}
SAID: dict[str, Any] = {"kind": "token-classification", "columns": COLUMNS, "split": SPLIT}


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def numbered() -> list[dict[str, Any]]:
    return [row | {"ner_tags": list(map(NAMES.index, row["ner_tags"]))} for row in ROWS]


def conll(rows: list[dict[str, Any]]) -> str:
    sentences = (
        "".join(f"{word} NN {tag}\n" for word, tag in zip(*row.values(), strict=True))
        for row in rows
    )
    return "-DOCSTART- -X- O\n\n" + "\n".join(sentences)


def of_datasets(name: str) -> str:
    """A file as the library `datasets` writes it, whose tags are numbers with names."""
    table = pa.Table.from_pylist(numbered())
    features = {"ner_tags": {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "List"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), name)
    return name


FORMS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "lines of JSON": ("a.jsonl", lines(ROWS), {}),
    "numbers with names": ("a.jsonl", lines(numbered()), {"labels": NAMES}),
    "numbers by a mapping": ("a.jsonl", lines(numbered()), {"labels": dict(enumerate(NAMES))}),
    "cells of JSON": (
        "a.csv",
        [["tokens", "ner_tags"], *(list(map(json.dumps, row.values())) for row in ROWS)],
        {},
    ),
    "cells as pandas writes them": (
        "a.csv",
        [["tokens", "ner_tags"], *(list(map(str, row.values())) for row in ROWS)],
        {},
    ),
    "CoNLL": ("a.conll", conll(ROWS), {"columns": {"tokens": 0, "tags": 2}}),
    "CoNLL with tabs": (
        "a.iob2",
        conll(ROWS).replace(" ", "\t"),
        {"columns": {"tokens": 0, "tags": 2}},
    ),
    "CoNLL as text": (
        "a.txt",
        conll(ROWS),
        {"columns": {"tokens": 0, "tags": 2}, "format": {"sentences": True}},
    ),
    "parquet of datasets": ("a.parquet", None, {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_words_and_the_names_of_their_tags_are_read(
    small: dict[str, Any], tmp_path: Path, form: str
) -> None:
    name, content, said = FORMS[form]
    file = of_datasets(name) if content is None else written(name, content)
    task = planned(small, files=file, **(SAID | said))
    manifest = prepare_task(task, tmp_path / "task")
    assert set(manifest.labels) == set(NAMES)
    if "labels" not in said and content is not None:
        assert list(manifest.labels) == sorted(NAMES)
    assert manifest.metrics[0] == "span_f1"
    found = [
        (row["tokens"], row["tags"])
        for split in manifest.splits
        for row in pq.read_table(tmp_path / "task" / f"{split}.parquet").to_pylist()
    ]
    expected = [(row["tokens"], row["ner_tags"]) for row in ROWS]
    assert sorted(found) == sorted(expected)
    assert manifest.splits["train"].label_counts["B-LOC"] > 0
    kind = kind_named(manifest.kind, manifest.kind_options)
    assert kind.output.labels == manifest.labels  # type: ignore[attr-defined]


def broken(**changed: Any) -> str:
    """The rows, the fourth of them with other values."""
    return lines([*ROWS[:3], ROWS[3] | changed, *ROWS[4:]])


BAD: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "a tag too few": (
        broken(ner_tags=["O", "O", "O"]),
        {},
        ["columns.tags: a.jsonl, column 'ner_tags': line 4 has 4 tokens and 3 tags (1 in all)"],
    ),
    "no list": (
        broken(tokens="Anna Ek left 3"),
        {},
        ["columns.tokens: a.jsonl, column 'tokens': blank or wrong in line 4", "a list of words"],
    ),
    "an empty list": (
        broken(tokens=[], ner_tags=[]),
        {},
        ["columns.tokens: ", "line 4 (1 in all)"],
    ),
    "a missing word": (broken(tokens=["Anna", None, "left", "3"]), {}, ["columns.tokens: "]),
    "no strict IOB2": (
        broken(ner_tags=["I-PER", "I-PER", "O", "O"]),
        {"split": None, "files": {"train": "a.jsonl", "validation": "b.jsonl", "test": "c.jsonl"}},
        [
            'metrics: "span_f1" is not allowed; which such tags are scored by where metrics names',
            "train, line 4: 'I-PER' follows 'O'",
            "allowed: token_accuracy",
        ],
    ),
    "a score of entities of what are none": (
        lines([row | {"ner_tags": ["N"] * (len(row["tokens"]) - 1) + ["V"]} for row in ROWS]),
        {"metrics": ["token_accuracy", "span_f1"]},
        ['metrics: "span_f1" is not allowed', "'N' is no tag of IOB2", "allowed: token_accuracy"],
    ),
    "a metric of classes": (
        lines(ROWS),
        {"metrics": ["accuracy"]},
        ["metrics: ", "has tags; allowed: span_f1, span_precision, span_recall, token_accuracy"],
    ),
    "names that do not fit": (
        lines(ROWS),
        {"labels": ["O", "B-LOC"]},
        ["labels: ", "do not fit the labels"],
    ),
    "several columns": (
        lines(ROWS),
        {"columns": COLUMNS | {"tokens": ["tokens", "ner_tags"]}},
        ["columns.tokens: ", "allowed: one column"],
    ),
    "no column of tags": (lines(ROWS), {"columns": {"tokens": "tokens"}}, ["columns.tags: "]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named(small: dict[str, Any], problems: Problems, name: str) -> None:
    content, said, fragments = BAD[name]
    written("a.jsonl", content)
    written("b.jsonl", lines(ROWS[:2]))
    written("c.jsonl", lines(ROWS[2:5]))
    (line,) = problems(own(small, **({"files": "a.jsonl"} | SAID | said)))
    assert line.startswith(f"tasks.own.{fragments[0]}"), line
    assert all(fragment in line for fragment in fragments), line


def test_a_tag_that_training_lacks_is_named_and_may_be_named_or_dropped(
    small: dict[str, Any], problems: Problems
) -> None:
    written("a.jsonl", lines(ROWS))
    written("b.jsonl", lines(ROWS[:2]) + lines([{"tokens": ["Nato"], "ner_tags": ["B-ORG"]}]))
    written("c.jsonl", lines(ROWS[2:4]) + " \n")
    files = {"train": "a.jsonl", "validation": "b.jsonl", "test": "c.jsonl"}
    said = SAID | {"files": files, "split": None}
    (line,) = problems(own(small, **said))
    assert "columns.tags: validation: 'B-ORG', the first in line 3: no tags of the train" in line
    assert "drop: {tags: [B-ORG]}" in line
    assert planned(small, **said, labels=[*NAMES, "B-ORG"]).options["labels"] == [*NAMES, "B-ORG"]
    assert planned(small, **said, drop={"tags": ["B-ORG"]}).options["labels"] == sorted(NAMES)


def test_a_line_of_another_width_is_named(small: dict[str, Any], problems: Problems) -> None:
    written("a.conll", conll(ROWS) + "\nAnna B-PER\n")
    (line,) = problems(own(small, files="a.conll", **SAID | {"columns": {"tokens": 0, "tags": 2}}))
    assert "files.train: a.conll, line 93: 2 values; allowed: 3, as in the lines before" in line
    written("b.conll", conll(ROWS))
    (line,) = problems(own(small, files="b.conll", **SAID | {"columns": {"tokens": 0, "tags": 3}}))
    assert "columns.tags: b.conll has no column 3; allowed: 0 to 2" in line


@pytest.mark.parametrize("form", [name for name in FORMS if name != "CoNLL as text"])
def test_such_a_table_is_recognised(form: str) -> None:
    name, content, said = FORMS[form]
    file = of_datasets(name) if content is None else written(name, content)
    found = guess({"train": (Path(file),)}, Options())
    assert (found.kind, found.columns) == (SAID["kind"], said.get("columns", COLUMNS))
    assert found.max_length == 32
    assert any("numbers" in one for one in found.reasons) == ("numbers" in form or content is None)


def test_tables_of_other_kinds_stay_theirs() -> None:
    rows = [{"text": f"a film of {n} words", "label": n % 2} for n in range(20)]
    assert guess({"train": (Path(written("a.jsonl", lines(rows))),)}, Options()).kind == (
        "text-classification"
    )


def test_entities_are_what_stands_in_the_rows() -> None:
    assert entities(ROWS[1]["ner_tags"]) == {("PER", 0, 2)}
