"""Verses of two Bibles side by side, split by book."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import JsonValue

from finegrid.planning import catalogue
from finegrid.planning.benchmark import load_yaml, parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.prepare.sources import DownloadError, fetch
from finegrid.prepare.task import prepare_task
from finegrid.problems import ConfigurationError
from finegrid.records.specification import Source, Task
from kinds.registry import kind_named
from tasks.sword_texts import Place, read_verses
from tasks.verses import Verses
from tests.tasks.sword_modules import module

CONFIG = Path(__file__).parents[2] / "config" / "verses.yaml"
NO_SOURCE = Source(uri="path:unused")
BOOKS = ("Gen", "Ps", "Prov", "Dan", "Matt", "Mark", "Acts", "Heb", "Jas", "Rev", "Jude", "2Pet")
EACH = 6
"""As many verses as the first psalm has."""
At = tuple[str, int, int]
Verse = tuple[str, str]


def words(seed: str, count: int = 12) -> str:
    """So many words that no other seed has."""
    digest = hashlib.sha512(seed.encode()).hexdigest() * 10
    return " ".join(digest[at * 7 : at * 7 + 6] for at in range(count))


def bibles(folder: Path, changed: dict[At, Verse] | None = None, each: int = EACH) -> Path:
    """Two Bibles of some verses of a dozen books, some of them changed."""
    verses: dict[At, Verse] = {
        (book, 1, number): (words(f"{book} {number}"), words(f"{number} {book}"))
        for book in BOOKS
        for number in range(1, each + 1)
    }
    verses |= changed or {}
    module(folder, {place: verse[0] for place, verse in verses.items()}, "NRSVA")
    module(folder / "spanish", {place: verse[1] for place, verse in verses.items()})
    return folder


def task(**options: Any) -> Verses:
    return Verses(spanish=NO_SOURCE, **{"validation": 0.1, "test": 0.2} | options)


def ids(frames: dict[Any, pd.DataFrame]) -> dict[str, list[str]]:
    return {name: rows["id"].tolist() for name, rows in frames.items()}


def books(rows: pd.DataFrame) -> set[str]:
    return {one.partition(".")[0] for one in rows["id"]}


def test_a_verse_is_to_be_translated(tmp_path: Path) -> None:
    rows = pd.concat(task().read(bibles(tmp_path)).values()).set_index("id")
    assert len(rows) == len(BOOKS) * EACH
    assert rows["prompt"]["Prov.1.3"] == f"Translate into Spanish: {words('Prov 3')}"
    assert rows["target"]["Prov.1.3"] == words("3 Prov")
    assert task().dropped(tmp_path) == {}


def test_what_is_no_pair_is_counted_by_its_reason(tmp_path: Path) -> None:
    long = words("long", 70)
    changed = {
        # A chapter of which the Spanish has one verse less, and the one that it may have gone to.
        ("Num", 12, 15): ("one two", "uno dos"),
        ("Num", 12, 16): ("three four", ""),
        ("Num", 13, 1): ("five six", "tres cuatro"),
        ("Num", 14, 1): ("seven eight", "siete ocho"),
        # Two uneven pairs in a chapter, one of which may be chance.
        ("Judg", 14, 18): ("nine ten", "nueve diez"),
        ("Judg", 14, 19): ("eleven twelve thirteen fourteen", "once"),
        ("Judg", 14, 20): ("fifteen", "quince dieciséis y más aún"),
        ("Job", 5, 7): ("sixteen", "y las centellas se levantan"),
        ("Job", 5, 8): (long, long),
        ("Job", 5, 9): (words("Job", 30), words("boJ", 30)),
        # In neither, as thousands of others.
        ("Job", 5, 10): ("", ""),
    }
    folder = bibles(tmp_path, changed)
    assert task().dropped(folder) == {
        "verses that one of the two lacks": 1,
        "verses of chapters that the two divide otherwise": 5,
        "pairs of which one is much longer": 1,
        "verses of more than 60 words": 1,
    }
    found = set(pd.concat(task().read(folder).values())["id"])
    assert {"Num.14.1", "Job.5.9"} <= found
    assert len(found) == len(BOOKS) * EACH + 2
    assert task(longest=20).dropped(folder)["verses of more than 20 words"] == 2


@pytest.mark.parametrize("seed", range(4))
def test_no_book_and_no_family_of_books_is_in_two_splits(tmp_path: Path, seed: int) -> None:
    found = task(split_seed=seed).read(bibles(tmp_path))
    for pair in ({"Matt", "Mark"}, {"Jude", "2Pet"}, {"Gen", "Ps"}):
        assert [pair <= books(rows) for rows in found.values() if pair & books(rows)] == [True]
    assert sum(len(books(rows)) for rows in found.values()) == len(BOOKS)
    # A family of 12 of 72 is more than a tenth: those are trained on. A book is in one split whole.
    assert {"Matt", "Mark", "Jude", "2Pet", "Gen", "Ps"} <= books(found["train"])
    assert {name: len(rows) for name, rows in found.items()} == {
        "train": 42,
        "validation": 12,
        "test": 18,
    }


def test_another_seed_tests_other_books(tmp_path: Path) -> None:
    folder = bibles(tmp_path)
    tested = {frozenset(books(task(split_seed=seed).read(folder)["test"])) for seed in range(6)}
    assert len(tested) > 1


SAME = words("same", 20)


@pytest.mark.parametrize(
    ("english", "spanish"),
    [
        (f"“{SAME.upper()}!”", words("other", 20)),
        (words("other", 20), f"¡{SAME[::-1]}!"),
        (f"And {SAME}", f"Y {SAME[::-1]}"),
    ],
    ids=["the same English", "the same Spanish", "nearly the same pair"],
)
def test_what_reads_like_a_verse_of_the_test_is_not_trained_on(
    tmp_path: Path, english: str, spanish: str
) -> None:
    tested = sorted(books(task().read(bibles(tmp_path / "a"))["test"]))[0]
    changed = {(tested, 1, 1): (SAME, SAME[::-1]), ("Matt", 1, 1): (english, spanish)}
    folder = bibles(tmp_path / "b", changed)
    found = ids(task().read(folder))
    assert f"{tested}.1.1" in found["test"]
    assert "Matt.1.1" not in found["train"]
    assert task().dropped(folder) == {"train: pairs that read like one of a later split": 1}


def test_pairs_that_read_the_same_are_one(tmp_path: Path) -> None:
    changed = {("Matt", 1, 1): (SAME, SAME), ("Mark", 1, 1): (f"{SAME}.", f"¡{SAME}!")}
    folder = bibles(tmp_path, changed)
    assert task().dropped(folder) == {"train: pairs that read the same": 1}
    assert "Matt.1.1" in ids(task().read(folder))["train"]


def test_a_limit_draws_of_all_books_and_leaves_the_other_splits(tmp_path: Path) -> None:
    folder = bibles(tmp_path)
    whole, few = task().read(folder), task(train_limit=30, test_limit=5).read(folder)
    assert {name: len(rows) for name, rows in few.items()} == {
        "train": 30,
        "validation": len(whole["validation"]),
        "test": 5,
    }
    assert len(books(few["train"])) > 4
    kept = whole["train"][whole["train"]["id"].isin(few["train"]["id"])]
    assert kept.reset_index(drop=True).equals(few["train"])
    fewer = task(train_limit=10).read(folder)["train"]
    assert set(fewer["id"]) < set(few["train"]["id"])
    assert task(train_limit=30).dropped(folder) == {
        "train: pairs beyond the limit of 30": len(whole["train"]) - 30
    }


def test_modules_without_a_verse_in_common_are_refused(tmp_path: Path) -> None:
    module(tmp_path, {("Gen", 1, 1): "a"})
    module(tmp_path / "spanish", {("Rev", 1, 1): "b"})
    with pytest.raises(ValueError, match="the two modules have no verse in common"):
        task().read(tmp_path)


def test_what_is_said_of_prompts_and_writing_reaches_the_kind() -> None:
    said = task(template="Q: {prompt}\nA: ", max_new_tokens=7)
    kind = kind_named(said.kind, said.kind_options)
    assert kind.inputs.encoding.template == "Q: {prompt}\nA: "  # type: ignore[attr-defined]
    assert kind.output.decoding.max_new_tokens == 7  # type: ignore[attr-defined]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "find_spec", lambda _: None)
    network = {"kind": "network", "layers": [784, 10]}  # known without a library
    benchmark = load_yaml(CONFIG) | {"models": {"smollm2": network}}
    with pytest.raises(ConfigurationError) as error:
        make_plan(parse_benchmark(benchmark))
    assert error.value.problems[0] == (
        "tasks.verses.task: verses: its data are read with the package pysword, which is not "
        "installed; allowed: pip install 'finegrid[verses]'"
    )


# The real modules


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    entry = load_yaml(CONFIG)["tasks"]["verses"]
    return {
        "english": Source.model_validate(entry["source"]),
        "spanish": Source.model_validate(entry["options"]["spanish"]),
    }


@pytest.fixture(scope="module")
def real(sources: dict[str, Source], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The modules of Debian, where apt-get can bring them."""
    folder, cache = tmp_path_factory.mktemp("bibles"), tmp_path_factory.mktemp("downloads")
    try:
        fetch(sources["english"], folder, cache=cache)
        fetch(sources["spanish"], folder / "spanish", cache=cache)
    except DownloadError as error:
        pytest.skip(str(error))
    return folder


@pytest.mark.thorough("test_what_is_no_pair_is_counted_by_its_reason")
def test_every_verse_of_the_real_bibles_is_a_pair_or_is_counted(real: Path, tmp_path: Path) -> None:
    spanish = Source(uri=f"path:{real}/spanish")
    options: dict[str, JsonValue] = {
        "spanish": spanish.model_dump(mode="json"),
        "test_limit": 200,
        "validation_limit": 100,
    }
    task = Task(name="v", task="verses", source=Source(uri=f"path:{real}"), options=options)
    manifest = prepare_task(task, tmp_path / "v")
    kept = sum(split.n for split in manifest.splits.values())
    assert kept + sum(manifest.dropped.values()) == 31_102  # those of the King James Version
    assert manifest.dropped["verses that one of the two lacks"] == 25
    assert manifest.dropped["verses of chapters that the two divide otherwise"] < 1200
    assert [(one.exact, one.near) for one in manifest.overlaps] == [(0, 0)] * 3


@pytest.mark.thorough("test_a_verse_is_to_be_translated")
def test_the_real_verses_are_those_in_print(real: Path) -> None:
    english, spanish = read_verses(real), read_verses(real / "spanish")
    first, second = Place("Gen", 1, 1), Place("Ps", 3, 1)
    assert english[first] == "In the beginning, God created the heavens and the earth."
    assert spanish[first] == "EN el principio crió Dios los cielos y la tierra."
    assert english[Place("John", 3, 16)].endswith(
        "that he gave his only born Son, that whoever believes in him should not perish, but have "
        "eternal life."
    )
    assert spanish[second].startswith("Salmo de David, cuando huía de delante de Absalom su hijo. ")
    assert english[second].startswith("A Psalm by David, when he fled from Absalom his son. Yahweh")
