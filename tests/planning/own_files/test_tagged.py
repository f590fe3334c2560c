"""Files of the user's own of words with a tag each: forms, columns, names of tags, and errors."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finegrid.planning.guess import Options, guess
from finegrid.prepare.task import prepare_task
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
        ["columns.tags: a.jsonl, column 'ner_tags': line 4: 4 tokens and 3 tags; allowed: one tag"],
    ),
    "no list": (
        broken(tokens="Anna Ek left 3"),
        {},
        ["columns.tokens: a.jsonl, column 'tokens': line 4: 'Anna Ek left 3' is no list of words"],
    ),
    "an empty list": (
        broken(tokens=[], ner_tags=[]),
        {},
        ["columns.tokens: ", "line 4: [] is no list of words"],
    ),
    "a missing word": (broken(tokens=["Anna", None, "left", "3"]), {}, ["columns.tokens: "]),
    "no scheme": (
        broken(ner_tags=["I-PER", "I-PER", "O", "O"]),
        {"split": None, "files": {"train": "a.jsonl", "validation": "b.jsonl", "test": "c.jsonl"}},
        [
            "scheme: the tags fit none: of IOB1 train, line 1: 'B-LOC' between 'O' and 'O' is ",
            "of IOB2 train, line 4: 'I-PER' between 'O' and 'I-PER' is in no entity",
            "allowed: plain, which scores single words",
        ],
    ),
    "another scheme": (
        lines(ROWS),
        {"scheme": "BIOES"},
        ['scheme: "BIOES" is not allowed: of BIOES ', "allowed: IOB2, plain"],
    ),
    "an unknown scheme": (
        lines(ROWS),
        {"scheme": "IOB3"},
        ['scheme: "IOB3" is not allowed', "IOB2"],
    ),
    "a score of entities of what are none": (
        lines([row | {"ner_tags": ["N"] * (len(row["tokens"]) - 1) + ["V"]} for row in ROWS]),
        {"metrics": ["token_accuracy", "span_f1"]},
        [
            'metrics: "span_f1" is not allowed; it reads entities, predicted_entities, which no',
            "allowed: token_accuracy, token_macro_f1",
        ],
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


OTHERS = {
    "IOB1": ["I-PER", "I-PER", "B-PER", "O"],
    "IOE1": ["I-PER", "E-PER", "I-PER", "O"],
    "IOE2": ["I-PER", "E-PER", "E-PER", "O"],
    "BIOES": ["B-PER", "E-PER", "S-PER", "O"],
    "BILOU": ["B-PER", "L-PER", "U-PER", "O"],
}


@pytest.mark.parametrize("scheme", OTHERS)
def test_the_scheme_of_the_rows_is_found_and_said(
    small: dict[str, Any], tmp_path: Path, scheme: str
) -> None:
    """Each row has two people, who touch: what would be one entity by other schemes."""
    rows = [{"tokens": ["A", "B", "C", f"{n}"], "ner_tags": OTHERS[scheme]} for n in range(20)]
    task = planned(small, files=written("a.jsonl", lines(rows)), **SAID)
    assert task.options["asked"] == {"scheme": scheme}
    manifest = prepare_task(task, tmp_path / "task")
    assert manifest.metrics[0] == "span_f1"
    kind = kind_named(manifest.kind, manifest.kind_options)
    assert list(kind.remarks()) == [
        f"entities are read by {scheme}, as seqeval does in its strict mode"
    ]
    target = {"tokens": rows[0]["tokens"], "tags": OTHERS[scheme], "read": []}
    assert kind.output.truth(target)["entities"] == ["PER:0:2", "PER:2:3"]


UNIVERSAL = """\
# sent_id = {n}
# text = Das ist im Haus {n}
1\tDas\tdas\tPRON\tPDS\t_\t4\tnsubj\t_\t_
2\tist\tsein\tAUX\tVAFIN\t_\t4\tcop\t_\t_
3-4\tim\t_\t_\t_\t_\t_\t_\t_\t_
3\tin\tin\tADP\tAPPR\t_\t5\tcase\t_\t_
4\tdem\tder\tDET\tART\t_\t5\tdet\t_\t_
5\tHaus\tHaus\tNOUN\tNN\t_\t0\troot\t_\t_
5.1\tsteht\tstehen\tVERB\t_\t_\t_\t_\t_\t_
6\t{n}\t{n}\tNUM\tCARD\t_\t5\tnummod\t_\t_
"""
WORDS = ["Das", "ist", "in", "dem", "Haus"]


@pytest.mark.parametrize(
    ("columns", "tags"),
    [
        ({"tokens": "FORM", "tags": "UPOS"}, ["PRON", "AUX", "ADP", "DET", "NOUN", "NUM"]),
        ({"tokens": 1, "tags": "XPOS"}, ["PDS", "VAFIN", "APPR", "ART", "NN", "CARD"]),
        ({"tokens": 1, "tags": 7}, ["nsubj", "cop", "case", "det", "root", "nummod"]),
    ],
    ids=str,
)
def test_words_of_universal_dependencies_are_read_by_names_and_numbers(
    small: dict[str, Any], tmp_path: Path, columns: dict[str, Any], tags: list[str]
) -> None:
    """Of a token of several words these are read, and no empty node is."""
    file = written("de.conllu", "\n".join(UNIVERSAL.format(n=n) for n in range(10)))
    task = planned(small, files=file, **SAID | {"columns": columns})
    manifest = prepare_task(task, tmp_path / "task")
    assert manifest.metrics == ("token_accuracy", "token_macro_f1")
    assert manifest.kind_options["scheme"] == "plain"
    rows = pq.read_table(tmp_path / "task" / "train.parquet").to_pylist()
    assert all(row["tokens"][:5] == WORDS and row["tags"] == tags for row in rows)
    found = guess({"train": (Path(file),)}, Options())
    assert found.columns == {"tokens": "FORM", "tags": "UPOS"}


def test_columns_of_conllu_plus_have_the_names_of_the_first_line(small: dict[str, Any]) -> None:
    rows = "\n".join(f"1\tAnna\tB-PER\n2\tleft {n}\tO\n" for n in range(10))
    file = written("a.conllup", f"# global.columns = ID FORM MY:NER\n{rows}")
    said = SAID | {"columns": {"tokens": "FORM", "tags": "MY:NER"}}
    assert planned(small, files=file, **said).options["asked"] == {"scheme": "IOB2"}


def test_wrong_files_of_universal_dependencies_are_named(
    small: dict[str, Any], problems: Problems
) -> None:
    written("a.conllu", UNIVERSAL.format(n=1))
    wrong: dict[str, Any] = {"tokens": "FORM", "tags": "POS"}
    (line,) = problems(own(small, files="a.conllu", **SAID | {"columns": wrong}))
    assert "columns.tags: a.conllu has no column 'POS'; allowed: 'ID', 'FORM', 'LEMMA'" in line
    written("b.conllu", "1\tAnna\tB-PER\n")
    said = SAID | {"columns": {"tokens": "FORM", "tags": "UPOS"}}
    (line,) = problems(own(small, files="b.conllu", **said))
    assert "files.train: b.conllu, line 1: 3 values; allowed: 10, one a column" in line


def test_lines_of_comments_are_passed_over_where_it_is_said(
    small: dict[str, Any], problems: Problems
) -> None:
    """As those of MultiCoNER; inside a sentence # is a word."""
    rows = "\n".join(f"# id {n}\nAnna _ _ B-PER\n# _ _ O\n" for n in range(10))
    said = SAID | {"files": written("a.conll", rows), "columns": {"tokens": 0, "tags": 3}}
    (line,) = problems(own(small, **said))
    assert "line 2: 4 values; allowed: 3, as in the lines before; or format.comments: true" in line
    assert planned(small, **said, format={"comments": True}).options["labels"] == ["B-PER", "O"]
    assert guess({"train": (Path("a.conll"),)}, Options()).how.comments
