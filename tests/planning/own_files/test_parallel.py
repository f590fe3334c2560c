"""Texts side by side, a sentence a line, as Moses, WMT, OPUS and fairseq lay them out."""

import codecs
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from finegrid.planning.guess import Guess, GuessError, Options
from finegrid.planning.guess_parallel import guess_parallel
from finegrid.planning.own_files import Found, of_files
from finegrid.planning.schema import TaskEntry
from finegrid.prepare.examined import Examiner
from finegrid.prepare.task import prepare_task
from finegrid.problems import dump_settings
from finegrid.records.prepared import PreparedTask
from finegrid.records.specification import Task
from tasks.registry import TASKS
from tasks.table_files import TableError

PARALLEL = {"parallel": True}
SIGNS = [
    "\u2028",
    "\u2029",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\r",
    "\t",
    "\ufeff",
    '"',
]
"""What stands inside of sentences, and what Python takes most of for the end of a line."""


def pairs(split: str, count: int = 6) -> list[tuple[str, str]]:
    """Sentences and what follows from them, with a sign each that ends no line."""
    return [(f"{split} {n} a{SIGNS[n % len(SIGNS)]}b", f"auf {split} {n}") for n in range(count)]


def lay(sides: dict[str, tuple[str, str]], beside: tuple[str, ...] = ()) -> Path:
    """A folder with the two files of each split, and other files."""
    folder = Path("corpus")
    for split, names in sides.items():
        for at, name in enumerate(names):
            text = "".join(f"{pair[at]}\n" for pair in pairs(split, 24 if split == "train" else 6))
            put(folder / name, text.encode())
    for name in beside:
        put(folder / name, b"some other file\n")
    return folder


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def entry(files: Any, source: Any, target: Any, **said: Any) -> TaskEntry:
    columns = {"source": source, "target": target}
    given = {"kind": "seq2seq", "files": files, "columns": columns, "format": PARALLEL}
    return TaskEntry.model_validate_json(json.dumps(given | said))


def rows_of(found: Found, folder: Path) -> tuple[PreparedTask, dict[str, list[dict[str, Any]]]]:
    """The prepared task, and its rows by split."""
    made = found.entry
    assert made.task is not None
    options = dump_settings(TASKS.build(made.task, made.options))
    task = Task(name="own", task=made.task, source=made.source, options=options)
    manifest = prepare_task(task, folder / "prepared")
    return manifest, {
        name: pq.read_table(folder / "prepared" / f"{name}.parquet").to_pylist()
        for name in manifest.splits
    }


def both(template: str, first: str, second: str, **splits: str) -> dict[str, tuple[str, str]]:
    """The names of the files of each split."""
    return {
        split: (template.format(word, first), template.format(word, second))
        for split, word in splits.items()
    }


WORDS = {"train": "train", "validation": "valid", "test": "test"}
DEV = WORDS | {"validation": "dev"}
VAL = WORDS | {"validation": "val"}
LAYOUTS: dict[str, tuple[dict[str, tuple[str, str]], tuple[str, ...], tuple[str, str]]] = {
    "fairseq's IWSLT14": (
        both("{}.{}", "de", "en", **WORDS),
        ("code", "tmp/train.tags.de-en.de"),
        ("de", "en"),
    ),
    "Moses": (both("{}.clean.{}", "en", "fr", **DEV), (), ("en", "fr")),
    "Multi30k": (
        both("{}.{}.gz", "de", "en", train="train", validation="val", test="test_2016_flickr"),
        (),
        ("de", "en"),
    ),
    "OPUS": (
        both("Europarl.{}.{}", "de", "en", train="de-en"),
        ("README", "LICENSE", "Europarl.de-en.xml", "Europarl.de-en.ids"),
        ("de", "en"),
    ),
    "OPUS with a country": (
        both("OpenSubtitles.{}.{}", "en", "zh_cn", train="en-zh_cn"),
        ("README",),
        ("en", "zh_cn"),
    ),
    "Tatoeba challenge": (
        {
            "train": ("train.src.gz", "train.trg.gz"),
            **both("{}.{}", "src", "trg", validation="dev", test="test"),
        },
        ("train.id.gz", "dev.id", "test.id"),
        ("src", "trg"),
    ),
    "OpenNMT": (
        {split: (f"src-{word}.txt", f"tgt-{word}.txt") for split, word in VAL.items()},
        ("pred.txt",),
        ("src", "tgt"),
    ),
    "transformers' summaries": (
        both("{}.{}", "source", "target", **VAL),
        (),
        ("source", "target"),
    ),
    "CodeXGLUE's translation": (
        both("{}.java-cs.txt.{}", "java", "cs", **WORDS),
        ("evaluator.py",),
        ("java", "cs"),
    ),
    "CodeXGLUE's refinement": (
        both("data/{}.buggy-fixed.{}", "buggy", "fixed", **WORDS),
        (),
        ("buggy", "fixed"),
    ),
    "a folder a pair": (both("de-fr/{}.{}", "de", "fr", **DEV), (), ("de", "fr")),
    "a folder a language": (
        {split: (f"en/{word}.txt", f"vi/{word}.txt") for split, word in DEV.items()},
        (),
        ("en", "vi"),
    ),
    "Stanford's NMT": (
        both("{}.{}", "en", "vi", train="train"),
        ("tst2012.en", "tst2012.vi", "vocab.en", "vocab.vi", "dict.en-vi"),
        ("en", "vi"),
    ),
    "WikiLarge": (
        both("wiki.full.aner.ori.{}.{}", "src", "dst", **WORDS),
        (),
        ("src", "dst"),
    ),
    "two files": ({"train": ("source.txt", "target.txt")}, (), ("source", "target")),
    "languages with scripts": (
        both("{}.{}", "eng_Latn", "kmr_Arab", **WORDS),
        (),
        ("eng_Latn", "kmr_Arab"),
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_guessed_and_read_line_by_line(folder: Path, name: str) -> None:
    sides, beside, (source, target) = LAYOUTS[name]
    place = lay(sides, beside)
    found = guess_parallel(place, Options())
    assert found is not None
    assert (found.kind, found.columns) == ("seq2seq", {"source": source, "target": target})
    assert found.how.model_dump(exclude_defaults=True) == PARALLEL
    assert ("validation" in found.shares) == ("validation" not in sides)
    split = dict(found.shares) or None
    _, splits = rows_of(
        of_files(entry(str(place), source, target, split=split), Examiner()), folder
    )
    for one in sides if split is None else ():
        read = [(row["source"], row["target"]) for row in splits[one]]
        assert read == pairs(one, 24 if one == "train" else 6)
    every = [(row["source"], row["target"]) for part in splits.values() for row in part]
    assert {*every} >= {*pairs("train", 24)}


def of_two(english: bytes, german: bytes, **said: Any) -> Found:
    put(Path("a/train.en"), english)
    put(Path("a/train.de"), german)
    split = {"validation": 0.2, "test": 0.2}
    given = {"files": "a", "source": "en", "target": "de", "split": split}
    return of_files(entry(**(given | said)), Examiner())


def test_unequal_numbers_of_lines_are_one_error_with_both(folder: Path) -> None:
    with pytest.raises(TableError) as error:
        of_two(b"a\nb\nc\n", b"x\ny\nz\nzz\nzzz")
    assert str(error.value) == (
        "files.train: lines: train.en has 3, train.de has 5; allowed: as many in each, for line i "
        "of one belongs to line i of the others"
    )
    with pytest.raises(TableError, match=r"lines: train.de has 5, train.en has 3;"):
        guess_parallel(Path("a"), Options())
    put(Path("a/train.de"), "x\u2028y\nz".encode())  # three lines, were these ends of lines
    with pytest.raises(TableError, match=r"train.en has 3, train.de has 2"):
        of_files(entry("a", "en", "de", split={"validation": 0.2, "test": 0.2}), Examiner())


def test_blank_lines_keep_their_place_and_are_counted(folder: Path) -> None:
    english = [f"one {n}" for n in range(20)]
    german = [f"eins {n}" for n in range(20)]
    english[3], german[5], english[7], german[7] = "", " \u3000", "", ""
    found = of_two("\n".join(english).encode(), "\n".join(german).encode())
    manifest, splits = rows_of(found, folder)
    read = {(row["source"], row["target"]) for part in splits.values() for row in part}
    assert read == {(f"one {n}", f"eins {n}") for n in range(20) if n not in (3, 5, 7)}
    assert sum(manifest.dropped.values()) == 3
    guessed = guess_parallel(Path("a"), Options())
    assert guessed is not None
    assert any("train: 3 lines without a text in each" in one for one in guessed.reasons)


@pytest.mark.parametrize(
    ("before", "end", "encoding"),
    [
        (codecs.BOM_UTF8, "\n", "utf-8"),
        (b"", "\r\n", "utf-8"),
        (b"", "\n", "utf-16"),
        (b"", "\r\n", "utf-16"),
    ],
)
def test_marks_ends_of_lines_and_encodings_are_no_part_of_a_text(
    folder: Path, before: bytes, end: str, encoding: str
) -> None:
    lines = [f"one {n}" for n in range(20)]
    english = before + end.join(lines).encode(encoding)
    found = of_two(english, "\n".join(line.replace("one", "eins") for line in lines).encode())
    _, splits = rows_of(found, folder)
    read = {(row["source"], row["target"]) for part in splits.values() for row in part}
    assert read == {(f"one {n}", f"eins {n}") for n in range(20)}


def test_several_corpora_train_one_model(folder: Path) -> None:
    """As those of WMT, each with both languages, in whatever order they are named."""
    files = ["europarl-v7.de-en.en", "commoncrawl.de-en.de", "commoncrawl.de-en.en"]
    files.append("europarl-v7.de-en.de")
    for name in (
        *files,
        "newstest2013.de",
        "newstest2013.en",
        "newstest2014.de",
        "newstest2014.en",
    ):
        corpus, language = name.split(".")[0], name[-2:]
        put(Path(name), "".join(f"{corpus} {language} {n}\n" for n in range(3)).encode())
    named = {
        "train": files,
        "validation": ["newstest2013.de", "newstest2013.en"],
        "test": ["newstest2014.en", "newstest2014.de"],
    }
    _, splits = rows_of(of_files(entry(named, "en", "de"), Examiner()), folder)
    assert [(row["source"], row["target"]) for row in splits["train"]] == [
        (f"{corpus} en {n}", f"{corpus} de {n}")
        for corpus in ("europarl-v7", "commoncrawl")
        for n in range(3)
    ]
    assert splits["test"][0]["target"] == "newstest2014 de 0"


def test_several_references_lie_in_files_of_their_own(folder: Path) -> None:
    """As those of ASSET, one of which may be blank."""
    for split in ("train", "valid", "test"):
        put(Path(f"a/{split}.orig"), "".join(f"{split} {n}\n" for n in range(4)).encode())
        for at in range(2):
            text = "".join("\n" if at and not n else f"{split} {n} {at}\n" for n in range(4))
            put(Path(f"a/{split}.simp.{at}"), text.encode())
    said = entry("a", "orig", ["simp.0", "simp.1"], references="columns")
    _, splits = rows_of(of_files(said, Examiner()), folder)
    assert [row["target"] for row in splits["test"]] == [
        ["test 0 0"],
        *([f"test {n} 0", f"test {n} 1"] for n in (1, 2, 3)),
    ]
    put(Path("a/test.simp.1"), b"test 0 1\n")
    with pytest.raises(TableError, match=r"test.orig has 4, test.simp.0 has 4, test.simp.1 has 1;"):
        of_files(said, Examiner())
    Path("a/test.simp.1").unlink()
    with pytest.raises(TableError, match=r"files.test: this split is missing"):
        of_files(said, Examiner())


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a file alone": (
        {
            "files": {"train": ["a/train.en"], "validation": "a/train.de", "test": "a/train.de"},
            "split": None,
        },
        "files.train: 'train.en' lies beside no file; allowed: a file for each of en, de, whose "
        "names differ in that alone, as train.en and train.de",
    ),
    "other languages": (
        {"target": "fr"},
        "files: no texts side by side among 'train.de', 'train.en'; allowed: a file for each of "
        "en, fr, whose names",
    ),
    "no columns": ({"columns": None}, "columns: this key is required for texts side by side"),
    "a header": (
        {"format": {"parallel": True, "header": False}},
        "format.header: a line of texts side by side has one value; allowed beside parallel: enc",
    ),
    "a group": (
        {"split": {"validation": 0.2, "test": 0.2, "group": "id"}},
        "split.group: texts side by side have no column beside; allowed: no such key",
    ),
    "another encoding": (
        {"format": {"parallel": True, "encoding": "ascii"}},
        "files.train: train.de, line 3: byte 0xc3 is no ascii; allowed: a file in UTF-8, or",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_one_sentence(folder: Path, name: str) -> None:
    said, words = BAD[name]
    with pytest.raises(TableError) as error:
        of_two(b"a\nb\nc\nd\n", "x\ny\nz\u00e4\nq\n".encode(), **said)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "first",
    ['<srcset setid="newstest2014" srclang="any">', "<url>http://www.ted.com/</url>", "<?xml?>"],
    ids=["WMT", "IWSLT", "XML"],
)
def test_markup_about_texts_is_no_text(folder: Path, first: str) -> None:
    """Both languages have as many lines of it, which would all be learnt."""
    text = f"{first}\none\ntwo\nthree\n".encode()
    with pytest.raises(TableError) as error:
        of_two(text, text.replace(b"one", b"eins"))
    assert str(error.value).startswith("files.train: train.en, line 1: <")
    assert "is markup; allowed: a text a line" in str(error.value)


def guessed(*names: str, **given: Any) -> Guess | None:
    for name in names:
        put(Path("b") / name, "".join(f"{name} {n}\n" for n in range(9)).encode())
    return guess_parallel(Path("b"), Options(**given))


def test_more_languages_than_two_are_asked_for(folder: Path) -> None:
    names = ("train.en", "train.de", "train.fr")
    message = "side by side of de, en, fr; say which: --text for what is read, --label for what is"
    with pytest.raises(GuessError, match=message):
        guessed(*names)
    found = guessed(*names, text="fr", label="en")
    assert found is not None
    assert found.columns == {"source": "fr", "target": "en"}
    turned = guess_parallel(lay(both("{}.{}", "de", "en", **WORDS)), Options(text="en"))
    assert turned is not None
    assert turned.columns == {"source": "en", "target": "de"}


def test_what_one_s_own_words_tell_apart_is_read_by_any_kind_of_texts(folder: Path) -> None:
    """As TweetEval lays its texts and labels out."""
    for split in ("train", "val", "test"):
        put(Path(f"c/{split}_text.txt"), "".join(f"{split} {n}\n" for n in range(8)).encode())
        put(Path(f"c/{split}_labels.txt"), "".join(f"{n % 2}\n" for n in range(8)).encode())
    given = Options(text="text", label="labels", kind="text-classification")
    found = guess_parallel(Path("c"), given)
    assert found is not None
    said = {"kind": found.kind, "columns": found.columns, "files": "c", "format": PARALLEL}
    checked = of_files(TaskEntry.model_validate_json(json.dumps(said)), Examiner())
    _, splits = rows_of(checked, folder)
    assert [(row["text"], row["label"]) for row in splits["test"]] == [
        (f"test {n}", n % 2) for n in range(8)
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("rt-polarity.pos", "rt-polarity.neg"),
        ("en/1.txt", "de/1.txt"),
        ("train/en/1.txt", "train/de/1.txt"),
        ("train.csv", "dev.csv", "README.en.md", "README.de.md"),
        ("train.csv", "source.txt", "target.txt"),
        ("2020-2021/2020.txt", "2020-2021/2021.txt"),
        ("train.jsonl", "labels.en", "labels.de"),
    ],
    ids=lambda names: names[0],
)
def test_other_folders_stay_what_they_are(folder: Path, names: tuple[str, ...]) -> None:
    assert guessed(*names) is None
