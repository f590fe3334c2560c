"""Addresses by their parts, and questions on them: on a few that are written here, and on all."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finegrid.prepare.sources import fetch
from finegrid.prepare.task import prepare_task
from finegrid.records.prepared import PreparedTask
from finegrid.records.specification import Source, Task
from kinds.registry import kind_named
from tasks.address_questions import AddressQuestions
from tasks.addresses import FILE, PARTS, Addresses
from tasks.registry import remarks_of

USADDRESS = Source(
    uri="sdist:usaddress==0.5.16/training/",
    sha256={
        "usaddress-0.5.16.tar.gz": (
            "f7e614e2489c159cf85be1b6f86edbfaf329dbeedef4d002a025757afd1ec6c6"
        ),
        FILE: "dbd125fa01fbdbc4e25cce722c648ce4e224e4c9bdb9b5a14498aa8a042aee32",
    },
)
TWO_STREETS = (
    "<StreetName>Oak</StreetName> <IntersectionSeparator>and</IntersectionSeparator> "
    "<StreetName>Elm</StreetName> <PlaceName>New</PlaceName> <PlaceName>York,</PlaceName>"
)


def street(number: int) -> str:
    return f"<AddressNumber>{number}</AddressNumber> <StreetName>Elm</StreetName>"


def written(folder: Path, *addresses: str) -> Path:
    """The addresses, and 20 others, so that every split has some."""
    every = [*addresses, *(street(number) for number in range(100, 120))]
    strings = "".join(f"<AddressString>{one}</AddressString>" for one in every)
    (folder / FILE).write_text(f"<AddressCollection>{strings}</AddressCollection>")
    return folder


def rows(task: Any, folder: Path, start: str) -> list[dict[str, Any]]:
    found = pd.concat(task.read(folder).values()).to_dict("records")
    return [row for row in found if str(row["id"]) == start or row["id"].startswith(f"{start}-")]


def test_words_of_a_part_are_an_entity(tmp_path: Path) -> None:
    (row,) = rows(Addresses(), written(tmp_path, TWO_STREETS), "1")
    assert row["tokens"] == ["Oak", "and", "Elm", "New", "York,"]
    assert row["tags"] == [
        *("B-StreetName", "B-IntersectionSeparator", "B-StreetName"),
        *("B-PlaceName", "I-PlaceName"),
    ]


def test_a_part_that_an_address_has_once_is_asked_for(tmp_path: Path) -> None:
    """Without the comma behind it, at its place among words with a space between them."""
    (row,) = rows(AddressQuestions(), written(tmp_path, TWO_STREETS), "1")
    assert (row["context"], row["question"]) == ("Oak and Elm New York,", "Which town is it in?")
    assert row["answers"] == {"text": ["New York"], "answer_start": [12]}


def test_addresses_that_read_the_same_are_one(tmp_path: Path) -> None:
    again = street(7).replace("Elm", "ELM,")
    task, folder = Addresses(), written(tmp_path, street(7), again)
    assert rows(task, folder, "1")
    assert not rows(task, folder, "2")
    assert task.dropped(folder) == {"duplicates": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<a><AddressString>", "no XML"),
        ("<a><AddressString><Street>Elm</Street></AddressString></a>", "no address of labelled"),
        ("<a><AddressString>Elm</AddressString></a>", "no address of labelled words"),
    ],
)
def test_another_file_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ValueError, match=message):
        Addresses().read(tmp_path)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("usaddress")
    fetch(USADDRESS, folder, (FILE,), cache=tmp_path_factory.mktemp("cache"))
    return folder


def prepared(name: str, real: Path, tmp_path: Path) -> PreparedTask:
    task = Task(name=name, task=name, source=Source(uri=f"path:{real}"))
    return prepare_task(task, tmp_path / name, cache=tmp_path)


def test_the_corpus_is_what_its_authors_say(real: Path, tmp_path: Path) -> None:
    """1,513 addresses of 10,722 words with 29 labels."""
    text = (real / FILE).read_text(encoding="utf-8")
    counts = Counter({part: text.count(f"<{part}>") for part in PARTS})
    assert (text.count("<AddressString>"), counts.total(), len(PARTS)) == (1513, 10_722, 29)
    assert min(counts.values()) > 0
    found = prepared("addresses", real, tmp_path)
    assert sum(split.n for split in found.splits.values()) + found.dropped["duplicates"] == 1513
    assert found.labels == Addresses.labels
    assert kind_named(found.kind, found.kind_options).output.metrics[0] == "span_f1"


def test_questions_are_told_to_be_made(real: Path, tmp_path: Path) -> None:
    found = prepared("address-questions", real, tmp_path)
    assert found.remarks == remarks_of(found.spec) == AddressQuestions().remarks
    assert found.remarks[0].startswith("made questions: ")
    splits = AddressQuestions().read(real)
    addresses = {
        name: {key.partition("-")[0] for key in part["id"]} for name, part in splits.items()
    }
    assert not addresses["train"] & (addresses["validation"] | addresses["test"])
    assert found.metrics == ("squad_f1", "squad_em")
