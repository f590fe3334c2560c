"""Texts with entities at places of signs: their words, their tags, and what is refused."""

from typing import Any

import pytest

from kinds.contract import RowError
from kinds.inputs.entity_spans import both_signs, spans_of, tagged, types_held, words_of
from kinds.token_classification import TokenClassification

TEXT = "Zoë Ek, of New-York, met 李伟 twice."
SPANS = [(0, 6, "PER"), (11, 19, "LOC"), (25, 27, "PER")]
WORDS = ["Zoë", "Ek", ",", "of", "New", "-", "York", ",", "met", "李", "伟", "twice", "."]
TAGS = ["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "I-LOC", *"OO", "B-PER", "I-PER", *"OO"]


def annotation(result: list[Any], **said: Any) -> dict[str, Any]:
    """As Label Studio exports one of a task."""
    return {"id": 9, "completed_by": 1, "was_cancelled": False, "result": result} | said


def region(start: int, end: int, label: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": TEXT[start:end], "labels": [label]}
    return {"id": "x", "from_name": "ner", "to_name": "text", "type": "labels", "value": value}


RELATION = {"from_id": "x", "to_id": "y", "type": "relation", "direction": "right"}
WHOLE = {"type": "choices", "from_name": "topic", "value": {"choices": ["news"]}}
SPELLINGS: dict[str, Any] = {
    "triples of doccano and spaCy": [list(one) for one in SPANS],
    "triples twice": [list(one) for one in (*SPANS, SPANS[0])],
    "triples in another order": [list(one) for one in reversed(SPANS)],
    "records of doccano with relations": [
        {"id": n, "label": label, "start_offset": start, "end_offset": end}
        for n, (start, end, label) in enumerate(SPANS)
    ],
    "spans of Prodigy": [
        {"start": start, "end": end, "token_start": 0, "token_end": 1, "label": label}
        for start, end, label in SPANS
    ],
    "labels of Label Studio's short JSON": [region(*one)["value"] for one in SPANS],
    "annotations of Label Studio": [
        annotation([], was_cancelled=True),
        annotation([*(region(*one) for one in SPANS), RELATION, WHOLE]),
    ],
    "a record of lists": dict(
        zip(("start", "end", "label"), map(list, zip(*SPANS, strict=True)), strict=True)
    ),
    "a cell of JSON": '[[0, 6, "PER"], [11, 19, "LOC"], [25, 27, "PER"]]',
    "a cell of Python": "[(0, 6, 'PER'), (11, 19, 'LOC'), (25, 27, 'PER')]",
    "with blanks at the ends": [[0, 6, "PER"], [10, 19, "LOC"], [24, 28, "PER"]],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_words_of_a_text_are_tagged_by_its_entities(spelling: str) -> None:
    row = TokenClassification().row({"text": TEXT, "spans": SPELLINGS[spelling]})
    assert row == {"tokens": WORDS, "tags": TAGS}
    assert types_held(SPELLINGS[spelling]) == {"PER", "LOC"}


@pytest.mark.parametrize("value", [None, "", " ", float("nan"), [], "[]"])
def test_a_row_may_have_no_entity(value: Any) -> None:
    assert TokenClassification().row({"text": "a b", "spans": value})["tags"] == ["O", "O"]
    assert types_held(value) == {""}


def test_entities_that_touch_are_two() -> None:
    words, tags = tagged("Anna Eva", spans_of([[0, 4, "PER"], [5, 8, "PER"]]), "strict")
    assert (words, tags) == (["Anna", "Eva"], ["B-PER", "B-PER"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't pay 3.50\n\tsnake_case", ["don", "'", "t", "pay", "3", ".", "50", "snake_case"]),
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs and a virama are marks
        ("cafe\u0301s\u00a0ok", ["cafe\u0301s", "ok"]),
        ("👩\u200d🚒!", ["👩\u200d", "🚒", "!"]),
        ("東京タワーへ go", [*"東京タワーへ", "go"]),
        ("서울에서", ["서울에서"]),
    ],
)
def test_words_are_runs_of_letters_and_single_other_signs(text: str, words: list[str]) -> None:
    found = words_of(text)
    assert [one.text for one in found] == words
    assert all(text[one.start : one.end] == one.text for one in found)


BAD: dict[str, tuple[Any, str, str]] = {
    "cuts a word": ([[0, 2, "PER"]], "spans", "PER 'Zo' (0 to 2) cuts the word 'Zoë'; allowed:"),
    "overlaps": (
        [[0, 6, "PER"], [4, 10, "ORG"]],
        "spans",
        "PER 'Zoë Ek' (0 to 6) and ORG 'Ek, of' (4 to 10) share a word; allowed: entities that do",
    ),
    "of two types": ([[0, 3, "PER"], [0, 3, "ORG"]], "spans", "share a word"),
    "behind the end": ([[30, 99, "PER"]], "spans", "[30, 99, 'PER'] is no part of the text"),
    "turned round": ([[6, 0, "PER"]], "spans", "[6, 0, 'PER'] is no part of the text; allowed:"),
    "of no sign": ([[7, 8, "PER"]], "spans", "PER ' ' (7 to 8) holds no word; allowed: 1 word"),
    "without an end": ([{"start": 0, "label": "PER"}], "spans", "no whole numbers and a label"),
    "without a label": ([[0, 6, None]], "spans", "no whole numbers and a label; allowed: a list"),
    "of texts": (["PER"], "spans", "'PER' is no entity; allowed: a list of [start, end, label]"),
    "a class": ("positive", "spans", "'positive' is no list; allowed: a list of [start, end"),
    "of two labels": (
        [{"start": 0, "end": 6, "labels": ["PER", "VIP"]}],
        "spans",
        "has 2 labels; allowed: one each",
    ),
    "of two annotators": (
        [annotation([region(0, 6, "PER")]), annotation([])],
        "spans",
        "2 annotations; allowed: one a row",
    ),
    "skipped": (
        [annotation([], was_cancelled=True)],
        "spans",
        "was skipped (was_cancelled); allowed: an annotation; or drop: {spans: [was_cancelled]}",
    ),
    "another text": (
        [{"start": 0, "end": 5, "text": "Zoë Ek", "label": "PER"}],
        "spans",
        "PER 'Zoë E' (0 to 5) is not the text 'Zoë Ek' that is said of it; allowed: places that",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_entities_that_cannot_be_are_refused(name: str) -> None:
    value, column, message = BAD[name]
    with pytest.raises(RowError) as raised:
        TokenClassification().row({"text": TEXT, "spans": value})
    assert (raised.value.column, message in str(raised.value)) == (column, True), raised.value


def test_places_in_code_units_of_utf_16_are_told() -> None:
    """As older versions of Label Studio count, whose places are of JavaScript's strings."""
    value = [{"start": 13, "end": 23, "text": "annotation", "labels": ["X"]}]
    with pytest.raises(RowError, match="count code units of UTF-16, as JavaScript does; allowed"):
        TokenClassification().row({"text": "💩This is an annotation.", "spans": value})


def test_an_entity_may_be_widened_to_whole_words() -> None:
    values = {"text": TEXT, "spans": [[1, 5, "PER"], [15, 17, "LOC"]]}
    row = TokenClassification(alignment="expand").row(values)
    assert row["tags"] == ["B-PER", "I-PER", *"OOOO", "B-LOC", *"OOOOOO"]
    shared = {"text": "snake_case", "spans": [[0, 5, "X"], [6, 10, "Y"]]}
    with pytest.raises(RowError, match=r"X 'snake' \(0 to 5\) and Y 'case' \(6 to 10\) share"):
        TokenClassification(alignment="expand").row(shared)


def test_a_blank_text_and_a_row_that_was_not_accepted_are_refused() -> None:
    with pytest.raises(RowError, match=r'blank; allowed: text; or drop: {text: \[""\]}'):
        TokenClassification().row({"text": " \n", "spans": []})
    values = {"text": TEXT, "spans": [], "answer": "reject"}
    with pytest.raises(RowError, match=r"'reject'; allowed: accept; or drop: {answer: \[reject"):
        TokenClassification().row(values)


def test_both_tags_of_a_type_are_known() -> None:
    assert both_signs(["B-PER", "O"]) == ("B-PER", "I-PER", "O")
    assert both_signs(["B-a-b", "I-c"]) == ("B-a-b", "B-c", "I-a-b", "I-c", "O")
