"""Files of the user's own with several texts that are all right for a source."""

import copy
import csv
import io
import json
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sacrebleu

from finegrid.metrics.registry import metric
from finegrid.planning.guess import Options, guess
from finegrid.planning.own_files import Found, of_files
from finegrid.planning.schema import TaskEntry
from finegrid.prepare.examined import Examiner
from finegrid.prepare.task import prepare_task
from finegrid.problems import dump_settings
from finegrid.records.prepared import PreparedTask, SplitName
from finegrid.records.specification import Task
from finegrid.training.evaluation import compute
from kinds.registry import kind_named
from tasks.e2e import E2E
from tasks.registry import TASKS
from tasks.table_files import TableError
from tests.planning.own_files.tables import SPLIT, Problems, own, written

SOURCES: dict[str, list[str]] = {
    f"name : Inn {n}": [f"Inn {n} is a pub.", f"A pub, Inn {n}.", f"There is Inn {n}."][: 1 + n % 3]
    for n in range(12)
}
"""A source and the texts that are right for it: one, two or three."""
PAIRS = [[source, text] for source, texts in SOURCES.items() for text in texts]
LISTS = [{"mr": source, "refs": texts} for source, texts in SOURCES.items()]
WIDE = [[source, *texts, *[""] * (3 - len(texts))] for source, texts in SOURCES.items()]


def as_csv(rows: list[list[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue()


def as_lines(rows: list[Any]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def parquet(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


SEVERAL = ["ref1", "ref2", "ref3"]
HEADED = [["mr", *SEVERAL], *WIDE]
FORMS: dict[str, tuple[str, Any, Any, str]] = {
    "a list in JSON": ("a.jsonl", as_lines(LISTS), "refs", "list"),
    "a list in parquet": ("a.parquet", parquet(LISTS), "refs", "list"),
    "a list in a cell": (
        "a.csv",
        as_csv([["mr", "refs"], *([mr, json.dumps(texts)] for mr, texts in SOURCES.items())]),
        "refs",
        "list",
    ),
    "columns": ("a.csv", as_csv(HEADED), SEVERAL, "columns"),
    "rows": ("a.csv", as_csv([["mr", "ref"], *PAIRS]), "ref", "rows"),
    "rows that stand apart": (
        "a.csv",
        as_csv([["mr", "ref"], *sorted(PAIRS, key=lambda pair: SOURCES[pair[0]].index(pair[1]))]),
        "ref",
        "rows",
    ),
}
"""File, its content, the column or columns of the target, and what is said of them."""


def entry(file: str, target: Any, references: str | None, **said: Any) -> TaskEntry:
    columns = {"prompt": "mr", "target": target}
    given = {"kind": "causal-lm", "files": file, "columns": columns, "split": SPLIT}
    given |= {"references": references} if references else {}
    return TaskEntry.model_validate_json(json.dumps(given | said))


def surveyed(file: str, content: Any, target: Any, references: str | None, **said: Any) -> Found:
    written(file, content)
    return of_files(entry(file, target, references, **said), Examiner())


def task_of(found: Found) -> Task:
    made = found.entry
    assert made.task is not None
    options = dump_settings(TASKS.build(made.task, made.options))
    return Task(name="own", task=made.task, source=made.source, options=options)


def rows_of(found: Found, folder: Path) -> tuple[PreparedTask, dict[SplitName, list[Any]]]:
    """The prepared task, and its rows by split."""
    manifest = prepare_task(task_of(found), folder / "prepared")
    return manifest, {
        name: pq.read_table(folder / "prepared" / f"{name}.parquet").to_pylist()
        for name in manifest.splits
    }


@pytest.mark.parametrize("name", FORMS)
def test_a_source_is_one_row_and_of_training_a_row_a_text(folder: Path, name: str) -> None:
    """The form in which the texts are given decides nothing else: splits count sources."""
    found = surveyed(*FORMS[name])
    manifest, splits = rows_of(found, folder)
    held = [row for split in ("validation", "test") for row in splits[split]]
    assert [len(splits[split]) for split in ("test", "validation")] == [4, 2]
    assert all(row["target"] == SOURCES[row["prompt"]] for row in held)
    learnt = [(row["prompt"], *row["target"]) for row in splits["train"]]
    apart = {row["prompt"] for row in held}
    assert sorted(learnt) == sorted(tuple(p) for p in PAIRS if p[0] not in apart)
    ids = [row["id"] for rows in splits.values() for row in rows]
    assert len(set(ids)) == len(ids)
    assert found.counts == {name: split.n for name, split in manifest.splits.items()}
    assert kind_named(manifest.kind, manifest.kind_options).output.schema().field(
        "target"
    ).type == (pa.list_(pa.string()))


def test_the_ids_of_a_source_s_texts_are_numbered(folder: Path) -> None:
    files = {"train": "a.jsonl", "validation": "b.jsonl", "test": "c.jsonl"}
    written("b.jsonl", as_lines(LISTS[3:4]))
    written("c.jsonl", as_lines(LISTS[4:6]))
    said = {"files": files, "split": None}
    _, splits = rows_of(surveyed("a.jsonl", as_lines(LISTS[:2]), "refs", "list", **said), folder)
    assert [row["id"] for row in splits["train"]] == ["train-1", "train-2-1", "train-2-2"]
    assert [row["id"] for row in splits["test"]] == ["test-1", "test-2"]


def test_rows_of_one_s_own_score_as_the_registered_task_does(folder: Path) -> None:
    """The file of the E2E challenge; BLEU is sacrebleu's over its sources."""
    slots = [(f"name[Inn {n}], eatType[pub]", f"name : Inn {n} | Type : pub") for n in range(12)]
    raw = [[slots[n][0], text.strip()] for n in range(12) for text in SOURCES[f"name : Inn {n}"]]
    for name in ("train", "validation", "test"):
        path = folder / "official" / "default" / name / "0000.parquet"
        path.parent.mkdir(parents=True)
        names = ("meaning_representation", "human_reference")
        pq.write_table(pa.Table.from_pylist([dict(zip(names, r, strict=True)) for r in raw]), path)
    official = E2E().read(folder / "official")["test"]
    words = dict(slots)
    worded = [["mr", "ref"], *([words[mr], f" {text}"] for mr, text in raw)]
    files = {"train": "a.csv", "validation": "b.csv", "test": "test.csv"}
    for file, rows in (("a.csv", worded[:-1]), ("b.csv", worded[:4])):
        written(file, as_csv(rows))
    said = {"files": files, "split": None, "metrics": ["bleu"]}
    manifest, splits = rows_of(surveyed("test.csv", as_csv(worded), "ref", "rows", **said), folder)
    given = [row["target"] for row in splits["test"]]
    assert given == list(official["target"])
    assert [row["prompt"] for row in splits["test"]] == list(official["prompt"])
    assert manifest.splits["train"].n == len(raw) - 1
    texts = [f"Inn {n} is one pub, a pub." for n in range(12)]
    expected = sacrebleu.corpus_bleu(texts, [list(one) for one in zip_longest(*given)]).score
    assert compute("bleu", texts, given).value == pytest.approx(expected)
    statistics = metric("bleu").statistics(pa.table({"reference": given, "text": texts}))
    assert len(statistics) == len(SOURCES)


def test_groups_and_folds_keep_a_source_together(folder: Path) -> None:
    rows = [["mr", "ref", "fold"], *([*pair, str(int(pair[0].split()[-1]) % 3)] for pair in PAIRS)]
    split = {"column": "fold", "values": {"validation": 1, "test": 2}}
    _, splits = rows_of(surveyed("a.csv", as_csv(rows), "ref", "rows", split=split), folder)
    assert {row["prompt"] for row in splits["test"]} == {f"name : Inn {n}" for n in (2, 5, 8, 11)}
    rows[3][2] = "0"  # one of two descriptions of the second source
    with pytest.raises(TableError) as error:
        surveyed("a.csv", as_csv(rows), "ref", "rows", split=split)
    assert str(error.value) == (
        "split.column: a.csv: line 3 and line 4 have one source, and '1' and '0' in column 'fold'; "
        "allowed: one value a source"
    )


def with_row(target: Any) -> Callable[[], tuple[str, Any, Any, str | None]]:
    """The lists, of which the second is something else."""
    rows = [LISTS[0], {"mr": "name : Inn 1", "refs": target}, *LISTS[2:]]
    return lambda: ("a.jsonl", as_lines(rows), "refs", "list")


BAD: dict[str, tuple[Callable[[], tuple[str, Any, Any, str | None]], str]] = {
    "an empty list": (
        with_row([]),
        "columns.target: a.jsonl, column 'refs': line 2: an empty list; allowed: 1 text or more; "
        'or drop: {target: [""]}, which leaves such rows out',
    ),
    "a list of lists": (
        with_row([["a"], ["b"]]),
        "column 'refs': line 2: ['a'] in a list is no text; allowed: texts",
    ),
    "a text in place of a list": (
        with_row("a pub"),
        "column 'refs': line 2: 'a pub' is no list; allowed: a list of texts",
    ),
    "a number in place of a list": (
        with_row(5),
        "column 'refs': line 2: 5 is no list; allowed: a list of texts",
    ),
    "nothing in place of a list": (with_row(None), "line 2: None is no list"),
    "nothing in a list": (with_row(["a", None]), "line 2: None in a list is no text"),
    "a blank text in a list": (with_row(["a", " "]), "line 2: ' ' in a list is no text"),
    "two empty lists": (
        lambda: ("a.jsonl", as_lines([*LISTS, *[{"mr": "x", "refs": []}] * 2]), "refs", "list"),
        "line 13: an empty list; allowed: 1 text or more; or drop: "
        '{target: [""]}, which leaves such rows out (2 such rows: line 13, line 14)',
    ),
    "a list where one text is asked for": (
        lambda: ("a.jsonl", as_lines(LISTS), "refs", None),
        "columns.target: a.jsonl, column 'refs': blank or wrong in line 1, line 2, line 3, line 4, "
        "line 5, ... (12 in all); allowed: one text a row; or references: list, which says that a "
        "row has a list",
    ),
    "a list where rows have one text each": (
        lambda: ("a.jsonl", as_lines(LISTS), "refs", "rows"),
        "line 1: ['Inn 0 is a pub.'] is no text; allowed: one text, or references: list",
    ),
    "a list in one of several columns": (
        lambda: (
            "a.jsonl",
            as_lines([{"mr": "x", **dict.fromkeys(SEVERAL, "a")}, {"mr": "y", "ref1": ["a"]}]),
            SEVERAL,
            "columns",
        ),
        "columns.target: a.jsonl, column 'ref1', 'ref2', 'ref3': line 2: ['a'] is no text; "
        "allowed: one text a column, or a blank",
    ),
    "blanks in all of several columns": (
        lambda: (
            "a.csv",
            as_csv([["mr", *SEVERAL], *WIDE, ["x", "", " ", ""]]),
            SEVERAL,
            "columns",
        ),
        "line 14: blank in all columns; allowed: 1 text or more",
    ),
    "a blank source": (
        lambda: ("a.csv", as_csv([["mr", "ref"], *PAIRS, [" ", "a"]]), "ref", "rows"),
        "columns.prompt: a.csv, column 'mr': line 26: blank; allowed: text",
    ),
    "a blank text in a row": (
        lambda: ("a.csv", as_csv([["mr", "ref"], *PAIRS, ["a", " "]]), "ref", "rows"),
        "columns.target: a.csv, column 'ref': line 26: blank; allowed: text",
    ),
    "one column of several": (
        lambda: ("a.csv", as_csv(HEADED), "ref1", "columns"),
        "columns.target: 'ref1' is not allowed beside references: columns; allowed: a list of "
        "columns",
    ),
    "several columns of lists": (
        lambda: ("a.csv", as_csv(HEADED), SEVERAL, "list"),
        "columns.target: ['ref1', 'ref2', 'ref3'] is not allowed beside references: list; allowed: "
        "one column, or references: columns",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_one_sentence(folder: Path, name: str) -> None:
    make, words = BAD[name]
    with pytest.raises(TableError) as error:
        surveyed(*make())
    assert words in str(error.value), error.value


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"columns": {"target": "refs"}},
            "references: 'list', and there is no source; allowed: beside columns.prompt",
        ),
        (
            {"columns": {"messages": "refs"}},
            "references: 'list' beside columns.messages, of which each has one answer; allowed: "
            "no such key",
        ),
        (
            {"kind": "text-regression", "columns": {"text": "mr", "label": "refs"}},
            "references: allowed for kind 'text-regression': no such key",
        ),
    ],
)
def test_what_has_no_references_is_refused(folder: Path, said: dict[str, Any], words: str) -> None:
    with pytest.raises(TableError) as error:
        surveyed("a.jsonl", as_lines(LISTS), "refs", "list", **said)
    assert words in str(error.value)


def test_lists_are_dropped_by_what_they_hold(folder: Path) -> None:
    rows = [*LISTS, {"mr": "x", "refs": []}, {"mr": "y", "refs": ["n/a", "a pub"]}]
    drop = {"target": ["", "n/a"]}
    found = surveyed("a.jsonl", as_lines(rows), "refs", "list", drop=drop)
    _, splits = rows_of(found, folder)
    assert not {"x", "y"} & {row["prompt"] for rows in splits.values() for row in rows}


def test_a_task_of_one_text_is_written_down_as_before(folder: Path) -> None:
    plain = task_of(surveyed("a.csv", as_csv([["mr", "ref"], *PAIRS]), "ref", None))
    asked = plain.options["asked"]
    assert "references" not in plain.options
    assert isinstance(asked, dict)
    assert "several_references" not in asked
    several = task_of(surveyed("a.csv", as_csv([["mr", "ref"], *PAIRS]), "ref", "rows"))
    assert several.options == plain.options | {"references": "rows"}


def test_a_plan_names_the_key_and_what_is_allowed(
    small: dict[str, Any], problems: Problems
) -> None:
    written("a.jsonl", as_lines(LISTS))
    said = {"kind": "causal-lm", "files": "a.jsonl", "split": SPLIT, "references": "lists"}
    said |= {"columns": {"prompt": "mr", "target": "refs"}}
    (line,) = problems(own(copy.deepcopy(small), **said))
    assert line.startswith('tasks.own.references: "lists" is not allowed')
    assert "'list', 'columns' or 'rows'" in line


GUESSED: dict[str, tuple[str, Any, Any, str, str]] = {
    "lists": ("a.jsonl", as_lines(LISTS), "refs", "list", "each refs is a list of texts"),
    "columns": (
        "a.csv",
        as_csv(HEADED),
        tuple(SEVERAL),
        "columns",
        "ref1, ref2, ref3 are usual names of texts that are all right",
    ),
    "rows": (
        "a.csv",
        as_csv([["mr", "ref"], *PAIRS]),
        "ref",
        "rows",
        "20 of 24 rows have the mr of another row",
    ),
}


@pytest.mark.parametrize("name", GUESSED)
def test_the_forms_are_guessed(folder: Path, name: str) -> None:
    file, content, target, references, reason = GUESSED[name]
    written(file, content)
    found = guess({"train": (Path(file),)}, Options())
    assert (found.kind, found.asked) == ("causal-lm", {"references": references})
    assert found.columns == {"prompt": "mr", "target": target}
    assert f"references: {references}, for {reason}" in found.reasons
    assert "95 % of the texts have up to 9 words" in found.reasons[-1]


def test_a_source_that_comes_back_rarely_is_no_form(folder: Path) -> None:
    once = {source: texts[0] for source, texts in SOURCES.items()}
    rows = [["prompt", "response"], *map(list, once.items()), ["name : Inn 0", "Another."]]
    written("a.csv", as_csv(rows))
    assert guess({"train": (Path("a.csv"),)}, Options()).asked == {}
