"""Schemes of tags: the entities of seqeval in its strict mode, and which scheme rows are in."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from finegrid.metrics.registry import metric
from kinds.contract import SettingError
from kinds.outputs.tag_schemes import GRAMMARS, Scheme, names_entities, scheme_of
from kinds.registry import kind_named
from tests.kinds.tag_corpora import FILE, corpus, draw_spans, is_read, tagged

GOLDEN: dict[str, list[dict[str, Any]]] = json.loads(FILE.read_text())
GOLDEN["BMES"] = json.loads(json.dumps(GOLDEN["BIOES"]).replace("I-", "M-"))
"""seqeval has no BMES: its scores are those of BIOES, in other letters."""
SCORES = ("f1", "precision", "recall")


def labels_of(rows: list[list[str]]) -> list[str]:
    return sorted({tag for row in rows for tag in row})


def placed(rows: list[list[str]]) -> list[tuple[str, list[str]]]:
    return [(f"line {at}", row) for at, row in enumerate(rows, 1)]


@pytest.mark.parametrize("scheme", GRAMMARS)
def test_entities_and_scores_are_those_of_seqeval(scheme: Scheme) -> None:
    """On random corpora, tags that break the scheme among those predicted."""
    output = kind_named("token-classification", {"scheme": scheme}).output
    for one in GOLDEN[scheme]:
        true = [row.split() for row in one["true"]]
        found = [row.split() for row, _ in one["found"]]
        expected = [entities.split() for _, entities in one["found"]]
        columns: dict[str, list[list[str]]] = {"entities": [], "predicted_entities": []}
        for name, rows in zip(columns, (true, found), strict=True):
            for row in rows:
                columns[name] += output._entities(name, row).values()  # type: ignore[attr-defined]
        assert columns["predicted_entities"] == expected
        table = pa.table(columns)
        for score in SCORES:
            metrics = metric(f"span_{score}")
            value = float(metrics.score(metrics.statistics(table)))
            assert value == pytest.approx(one[score], abs=1e-12), score


@pytest.mark.parametrize("scheme", GRAMMARS)
def test_entities_are_those_that_the_scheme_was_written_of(scheme: Scheme) -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        spans, count = draw_spans(rng)
        if is_read(spans, scheme):
            tags = tagged(spans, count, scheme)
            assert GRAMMARS[scheme].entities(tags) == {*spans}, tags
            assert GRAMMARS[scheme].misfit(tags) is None


@pytest.mark.parametrize("scheme", GRAMMARS)
def test_the_scheme_is_found_in_the_rows(scheme: Scheme) -> None:
    rows, _ = corpus(scheme, seed=9, rows=30)
    assert scheme_of(placed(rows), labels_of(rows), None) == scheme
    others = [one for one in GRAMMARS if one != scheme]
    for other in others:
        with pytest.raises(SettingError, match=f'"{other}" is not allowed: of {other} line'):
            scheme_of(placed(rows), labels_of(rows), other)


def test_tags_of_inside_alone_are_one_in_two_schemes() -> None:
    rows = [["I-PER", "I-PER", "O"], ["I-LOC", "I-PER"]]
    assert scheme_of(placed(rows), labels_of(rows), None) == "IOB1"
    named = ["B-PER", *labels_of(rows)]
    assert scheme_of(placed(rows), named, None) == "IOB1"
    assert scheme_of(placed(rows), labels_of(rows), "IOE1") == "IOE1"


BAD: dict[str, tuple[list[list[str]], list[str], str]] = {
    "two schemes": ([["O"]], ["B-X", "I-X"], "the tags fit IOB1, IOB2, BIOES, BILOU, by which"),
    "no scheme": (
        [["B-X", "I-X"], ["O", "I-X", "O", "B-X"]],
        [],
        "the tags fit none: of IOB1 line 1: 'B-X' between 'O' and 'I-X' is in no entity; of IOB2 "
        "line 2: 'I-X' between 'O' and 'O' is in no entity; allowed: plain, which scores single",
    ),
    "a tag of none": ([["B-X", "NOUN"]], [], "line 1: 'NOUN' is no tag of it"),
    "signs of two": ([["S-X", "U-X"]], [], "the tags fit none"),
}


@pytest.mark.parametrize("name", BAD)
def test_rows_of_no_scheme_or_of_two_are_refused(name: str) -> None:
    rows, more, words = BAD[name]
    with pytest.raises(SettingError) as found:
        scheme_of(placed(rows), sorted({*labels_of(rows), *more}), None)
    assert words in str(found.value)
    assert found.value.key == "scheme"
    assert scheme_of(placed(rows), labels_of(rows), "plain") == "plain"


def test_tags_of_no_signs_are_plain() -> None:
    rows = [["NOUN", "VERB", "PUNCT"], ["X"]]
    assert scheme_of(placed(rows), labels_of(rows), None) == "plain"
    assert not names_entities(["I", "N", "V"])
    assert not names_entities(["O", "NOUN"])
    assert not names_entities(["O"])


def test_words_of_characters_are_entities_without_a_type() -> None:
    """As the corpora of Chinese words have them, without an O."""
    rows = [["B", "E", "S", "B", "M", "E"], ["S", "S"]]
    assert scheme_of(placed(rows), labels_of(rows), None) == "BMES"
    assert GRAMMARS["BMES"].entities(rows[0]) == {("", 0, 2), ("", 2, 3), ("", 3, 6)}
    rows = [["B", "I", "E", "S"]]
    assert scheme_of(placed(rows), labels_of(rows), None) == "BIOES"


def test_short_entities_are_alike_in_two_letters() -> None:
    """Where no entity has three words no sign tells BIOES from BMES."""
    rows = [["B-X", "E-X", "O", "S-X"]]
    assert scheme_of(placed(rows), labels_of(rows), None) == "BIOES"
    assert scheme_of(placed(rows), labels_of(rows), "BMES") == "BMES"


def test_tags_without_a_type_name_entities_too() -> None:
    rows = [["B", "I", "O", "B"]]
    assert scheme_of(placed(rows), labels_of(rows), None) == "IOB2"
    assert GRAMMARS["IOB2"].entities(rows[0]) == {("", 0, 2), ("", 3, 4)}
