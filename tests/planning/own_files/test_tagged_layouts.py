"""Files of tagged words as public corpora have them: which columns are guessed, what is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finegrid.planning.guess import Guess, Options, guess
from finegrid.planning.own_files import of_files
from finegrid.planning.schema import TaskEntry
from finegrid.prepare.examined import Examiner
from tasks.registry import TASKS
from tasks.table_files import TableError
from tests.planning.own_files.tables import written

SPLIT = {"validation": 0.2, "test": 0.2}
KIND = "token-classification"


def guessed(name: str, content: str, **given: Any) -> Guess:
    return guess({"train": (Path(written(name, content)),)}, Options(**given))


def said(file: str, columns: Any, **more: Any) -> TaskEntry:
    entry = {"kind": KIND, "files": file, "columns": columns, "split": SPLIT}
    return TaskEntry.model_validate_json(json.dumps(entry | more))


def read(entry: TaskEntry) -> tuple[list[Any], dict[str, Any]]:
    """Words and tags of all rows, and what planning has found of the kind."""
    made = of_files(entry, Examiner()).entry
    assert made.task is not None
    tables = TASKS.build(made.task, made.options).read(Path.cwd())
    rows = [row for part in tables.values() for row in part.to_pylist()]  # type: ignore[operator]
    asked: Any = made.options["asked"]
    return sorted((row["tokens"], row["tags"]) for row in rows), dict(asked)


def conll(*columns: str, count: int = 10, between: str = " ") -> str:
    """Sentences, each a word a line, of columns that hold a value a word; {n} is their number."""
    words = zip(*(column.split() for column in columns), strict=True)
    sentence = "".join(f"{between.join(values)}\n" for values in words)
    return "\n".join(sentence.replace("{n}", str(n)) for n in range(count)) + "\n"


def said_before(line: str, content: str) -> str:
    """The sentences with a line before each."""
    return "\n\n".join(line.format(n=n) + one for n, one in enumerate(content.split("\n\n")))


WORDS = "Anna Ek left Oslo on-{n} ."
POS = "NNP NNP VBD NNP IN ."
CHUNKS = "B-NP I-NP B-VP B-NP B-PP O"
NAMES = "B-PER I-PER O B-LOC O O"
INNER = "O B-PER O O O O"
NONE = "_ _ _ _ _ _"
NUMBERS = "1 2 3 4 5 6"
LEMMAS = "anna ek leave oslo on-{n} ."
LAYOUTS: dict[str, tuple[str, str, Any, dict[str, Any]]] = {
    "CoNLL-2003": (
        "eng.conll",
        "-DOCSTART- -X- -X- O\n\n" + conll(WORDS, POS, CHUNKS, NAMES),
        (0, 3),
        {},
    ),
    "CoNLL-2003 in German": ("deu.conll", conll(WORDS, LEMMAS, POS, CHUNKS, NAMES), (0, 4), {}),
    "CoNLL-2000": ("train.txt", conll(WORDS, POS, CHUNKS), (0, 2), {"sentences": True}),
    "CoNLL-2002": ("esp.conll", conll(WORDS, POS, NAMES), (0, 2), {}),
    "WNUT-2017": ("wnut17train.conll", conll(WORDS, NAMES, between="\t"), (0, 1), {}),
    "BC5CDR": ("train.tsv", conll(WORDS, NAMES, between="\t"), (0, 1), {"sentences": True}),
    "GermEval 2014": (
        "NER-de-train.tsv",
        said_before(
            "#\thttp://de.wikipedia.org/{n} [2009-10-17]\n",
            conll(NUMBERS, WORDS, NAMES, INNER, between="\t"),
        ),
        (1, 2),
        {"sentences": True, "comments": True},
    ),
    "GermEval 2014 with as many values in the lines before": (
        "NER-de-dev.tsv",
        said_before(
            "#\thttp://de.wikipedia.org/{n}\t[2009-10-17]\t\n",
            conll(NUMBERS, WORDS, NAMES, INNER, between="\t"),
        ),
        (1, 2),
        {"sentences": True, "comments": True},
    ),
    "WNUT-2017's test": (
        "emerging.test.annotated",
        conll(WORDS, NAMES, between="\t"),
        (0, 1),
        {"sentences": True},
    ),
    "WikiANN": ("train", conll(WORDS, NAMES, between="\t"), (0, 1), {"sentences": True}),
    "types without signs": (
        "corpus.txt",
        conll(WORDS, "PESSOA PESSOA O LOCAL O O", between="\t"),
        (0, 1),
        {"sentences": True},
    ),
    "MIT movies, tags first": ("engtrain.bio", conll(NAMES, WORDS, between="\t"), (1, 0), {}),
    "MultiCoNER": (
        "en-train.conll",
        said_before("# id {n}\tdomain=train\n", conll(WORDS, NONE, NONE, NAMES)),
        (0, 3),
        {"comments": True},
    ),
    "TreeTagger": ("a.conll", conll(WORDS, POS, LEMMAS, between="\t"), (0, 1), {}),
    "CoNLL-X": (
        "a.conll",
        conll(
            NUMBERS,
            WORDS,
            LEMMAS,
            POS,
            POS,
            NONE,
            "2 3 0 3 3 3",
            "a b c d e f",
            NONE,
            NONE,
            between="\t",
        ),
        (1, 3),
        {},
    ),
    "tags of characters": ("msr.bio", conll("中 国 人 在 {n} 。", NAMES), (0, 1), {}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_columns_of_words_and_tags_are_told(folder: Path, name: str) -> None:
    """By what they hold, whichever column they are."""
    file, content, (tokens, tags), how = LAYOUTS[name]
    found = guessed(file, content)
    assert (found.kind, found.columns) == (KIND, {"tokens": tokens, "tags": tags})
    assert found.how.model_dump(exclude_defaults=True) == how
    rows, _ = read(said(file, found.columns, format=how, **found.asked))
    assert len(rows) == 10
    assert {len(words) for words, _ in rows} == {6}


def rows_of_words(told: Callable[[int, int], str], header: str) -> str:
    """A row a word, with what tells the sentence in the first column."""
    lines = [header]
    for n in range(10):
        for at, (word, pos, tag) in enumerate(
            zip(WORDS.format(n=n).split(), POS.split(), NAMES.split(), strict=True)
        ):
            lines.append(f"{told(n, at)},{word},{pos},{tag}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("Sentence #,Word,POS,Tag", lambda n, at: "" if at else f"Sentence: {n + 1}"),
        ("sentence_id,words,pos,labels", lambda n, at: str(n)),
    ],
)
def test_a_table_may_have_a_row_for_each_word(
    folder: Path, header: str, told: Callable[[int, int], str]
) -> None:
    """As the corpus of named entities of Kaggle, and tables that data frames were written to."""
    sentence, word, _, tag = header.split(",")
    content = rows_of_words(told, header)
    found = guessed("ner_dataset.csv", content)
    assert (found.kind, found.columns) == (KIND, {"tokens": word, "tags": tag})
    assert found.how.model_dump(exclude_defaults=True) == {"sentence": sentence}
    assert not any(sentence in reason for reason in found.reasons[1:])
    assert "'I-PER' is a tag" in found.reasons[0]
    rows, _ = read(said("ner_dataset.csv", found.columns, format={"sentence": sentence}))
    assert rows == [(WORDS.format(n=n).split(), NAMES.split()) for n in range(10)]
    with pytest.raises(TableError, match=r"format.sentence: .* has no column 'id'"):
        read(said("ner_dataset.csv", found.columns, format={"sentence": "id"}))


SCHEMES = {
    "BMES": "B-ORG M-ORG E-ORG S-LOC O O",
    "BIOES": "B-ORG I-ORG E-ORG S-LOC O O",
    "BILOU": "B-ORG I-ORG L-ORG U-LOC O O",
    "IOB2": "B-ORG I-ORG I-ORG B-LOC B-LOC O",
    "IOB1": "I-ORG I-ORG I-ORG I-LOC B-LOC O",
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_are_found_and_said(folder: Path, scheme: str) -> None:
    found = guessed("a.conll", conll(WORDS, SCHEMES[scheme]))
    assert any(f"scheme: {scheme}" in one for one in found.reasons), found.reasons
    _, asked = read(said("a.conll", found.columns))
    assert asked["scheme"] == scheme


ONTONOTES = """\
bc/cctv/00/cctv_0000 0 0 In IN (TOP(S(PP* - - - Speaker#1 * {more}-
bc/cctv/00/cctv_0000 0 1 summer NN (NP*)) - - - Speaker#1 (DATE* {more}(12
bc/cctv/00/cctv_0000 0 2 {n} CD * - - - Speaker#1 *) {more}12)
bc/cctv/00/cctv_0000 0 3 Oslo NNP (NP*) - - - Speaker#1 (GPE) {more}-
bc/cctv/00/cctv_0000 0 4 slept VBD (VP*))) sleep 01 1 Speaker#1 * {more}-
"""


def ontonotes() -> str:
    """Sentences of two documents, with a column more for each predicate of a sentence."""
    sentences = [ONTONOTES.format(n=n, more="(ARG0*) " * (n % 3)) for n in range(10)]
    halves = ("\n".join(sentences[:5]), "\n".join(sentences[5:]))
    return "".join(
        f"#begin document (bc/cctv/00/cctv_0000); part 00{at}\n{half}\n#end document\n"
        for at, half in enumerate(halves)
    )


def test_names_of_ontonotes_are_read_of_brackets(folder: Path) -> None:
    """The CoNLL-2012 files have as many columns more as a sentence has predicates."""
    found = guessed("train.english.v4_gold_conll", ontonotes())
    assert (found.kind, found.columns) == (KIND, {"tokens": 3, "tags": 10})
    assert found.asked == {"scheme": "brackets"}
    rows, asked = read(said("train.english.v4_gold_conll", found.columns, scheme="brackets"))
    tags = ["O", "B-DATE", "I-DATE", "B-GPE", "O"]
    assert rows == [(["In", "summer", str(n), "Oslo", "slept"], tags) for n in range(10)]
    assert asked["scheme"] == "brackets"


UNIVERSAL = """\
# text = vamonos {n} al mar
1-2\tvamonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_
2.1\tx\tx\tVERB\t_\t_\t_\t_\t_\t_
3\t{n}\t{n}\tNUM\t_\t_\t1\tobl\t_\t_
"""


def sentences(text: str) -> str:
    return "\n".join(text.format(n=n) for n in range(10))


BAD: dict[str, tuple[str, str, Any, dict[str, Any], str]] = {
    "tokens of several words in a file that is not called so": (
        "a.conll",
        sentences(UNIVERSAL),
        (1, 3),
        {"format": {"comments": True}},
        "a.conll, line 2: '1-2' numbers a token of several words or an empty node of CoNLL-U, "
        "which is no word; allowed: a name that ends in .conllu",
    ),
    "brackets that are not said": (
        "a.v4_gold_conll",
        ontonotes(),
        (3, 10),
        {},
        "scheme: '(DATE*' is a bracket; allowed: brackets, which reads entities of them, or plain",
    ),
    "brackets in each other": (
        "a.v4_gold_conll",
        ontonotes(),
        (3, 5),
        {"scheme": "brackets"},
        "line 2: '(TOP(S(PP*' is no bracket of one entity; allowed: *, (X*, *), (X) and the like",
    ),
    "brackets that are not shut": (
        "a.conll",
        conll(WORDS, "(PER* * (LOC) * * *"),
        (0, 1),
        {"scheme": "brackets"},
        "line 1: '(LOC)' inside of '(PER*'; allowed: an entity that ends before the next one",
    ),
    "a bracket too few": (
        "a.conll",
        conll(WORDS, "* (PER* * * * *"),
        (0, 1),
        {"scheme": "brackets"},
        "line 1: '(PER*' is not shut; allowed: *) or a like bracket in the same sentence",
    ),
    "what are no brackets": (
        "a.conll",
        conll(WORDS, NAMES),
        (0, 1),
        {"scheme": "brackets"},
        "line 1: 'B-PER' is no bracket of one entity; allowed: *, (X*",
    ),
    "another sign between": (
        "a.conll",
        conll(WORDS, NAMES.replace("-", "_")),
        (0, 1),
        {},
        "scheme: 'B_LOC' is of no scheme; allowed: a sign, a dash and a type, as B-PER; or plain, "
        "which scores single words",
    ),
    "types before signs": (
        "a.conll",
        conll(WORDS, "PER-B PER-I O LOC-B O O"),
        (0, 1),
        {},
        "scheme: 'LOC-B' is of no scheme; allowed: a sign, a dash",
    ),
    "small letters": (
        "a.conll",
        conll(WORDS, NAMES.lower()),
        (0, 1),
        {},
        "scheme: 'b-loc' is of no scheme; allowed: a sign, a dash and a type, as B-PER; or plain",
    ),
    "BMES that is called IOB2": (
        "a.conll",
        conll(WORDS, SCHEMES["BMES"]),
        (0, 1),
        {"scheme": "IOB2"},
        'scheme: "IOB2" is not allowed: of IOB2 ',
    ),
    "signs of no scheme": (
        "a.conll",
        conll(WORDS, "B-ORG M-ORG E-ORG W-LOC O O"),
        (0, 1),
        {},
        "scheme: the tags fit none: of ",
    ),
    "another width in a sentence": (
        "a.v4_gold_conll",
        ontonotes().replace("Speaker#1 (GPE)", "(GPE)", 1),
        (3, 10),
        {"scheme": "brackets"},
        "a.v4_gold_conll, line 5: 11 values; allowed: 12, as in the lines before",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_would_be_scored_wrongly_is_refused(folder: Path, name: str) -> None:
    file, content, (tokens, tags), more, words = BAD[name]
    written(file, content)
    with pytest.raises(TableError) as error:
        of_files(said(file, {"tokens": tokens, "tags": tags}, **more), Examiner())
    assert words in str(error.value)


def test_words_of_universal_dependencies_are_those_with_whole_numbers(folder: Path) -> None:
    found = guessed("a.conllu", sentences(UNIVERSAL))
    rows, _ = read(said("a.conllu", found.columns))
    assert rows == [(["vamos", "nos", str(n)], ["VERB", "PRON", "NUM"]) for n in range(10)]


def test_a_score_at_the_beginning_of_a_line_is_a_word(folder: Path) -> None:
    content = conll("2-1 3.1 in Oslo {n} .", POS, CHUNKS, NAMES)
    rows, _ = read(said(written("a.conll", content), {"tokens": 0, "tags": 3}))
    assert len(rows) == 10


def test_tables_of_texts_with_blank_lines_stay_tables(folder: Path) -> None:
    rows = "".join(f"a film of love {n}\t{'BO'[n % 2]}\n\n" for n in range(20))
    found = guessed("a.tsv", "text\tlabel\n\n" + rows)
    assert (found.kind, found.how.sentences) == ("text-classification", False)
