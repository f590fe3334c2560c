"""Questions about contexts, held to the contract and to what is particular to them."""

from itertools import chain, pairwise
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
import torch
from torch import nn
from transformers import AutoModelForQuestionAnswering

from finegrid.training.data import Examples
from finegrid.training.encoding import encoded_rows
from finegrid.training.evaluation import predictions
from kinds.contract import RowError
from kinds.registry import kind_named
from methods.registry import METHODS
from tests.kinds.contract import ROWS, Bench, KindContract
from tests.kinds.test_multiple_choice import folder_of, model_of
from tests.methods.architectures import tiny

CONTEXTS = [
    "the film was great",
    "warm dull film",
    "the plot was dull the film was great the plot was warm",
    "dull great warm the",
    "film plot was",
    "great the plot the film was dull warm",
    "was warm",
    "plot dull was great",
]
QUESTIONS = ["film", "warm", "plot was", "the", "was", "great", "dull", "plot"]
ANSWERS = [(0, 8), (0, 4), (46, 54), (5, 10), (5, 9), (0, 9), (4, 8), None]


def squad(context: str, span: tuple[int, int] | None) -> dict[str, list[Any]]:
    """A span of a context as SQuAD has it."""
    if span is None:
        return {"text": [], "answer_start": []}
    return {"text": [context[slice(*span)]], "answer_start": [span[0]]}


class TestQuestionAnswering(KindContract):
    """Of one window each, one question without an answer."""

    kind = "question-answering"
    options: ClassVar = {"unanswerable": True}
    columns: ClassVar = {
        "context": CONTEXTS,
        "question": QUESTIONS,
        "answers": [squad(*pair) for pair in zip(CONTEXTS, ANSWERS, strict=True)],
    }
    max_length = 20

    def model(self) -> nn.Module:
        found: nn.Module = model_of(AutoModelForQuestionAnswering, num_labels=2)
        return found

    def folder(self, root: Path) -> Path:
        return folder_of(root)

    def test_the_loss_is_the_librarys(self, bench: Bench) -> None:
        """The mean of both cross-entropies, of windows that nothing pads."""
        for index in range(ROWS):
            batch: Any = bench.examples.batch([index])
            places = {f"{side}_positions": batch.targets[side] for side in ("start", "end")}
            theirs = bench.model(**batch.inputs, **places).loss
            torch.testing.assert_close(bench.loss(index), theirs)

    def test_the_best_span_is_that_of_all_pairs(self, bench: Bench) -> None:
        """Of a start and an end behind it, within the context and the length."""
        for index in range(ROWS):
            batch, window = bench.examples.batch([index]), bench.examples.inputs[index]
            with torch.no_grad():
                start, end = (
                    side[0].tolist() for side in bench.model(**batch.inputs).to_tuple()[:2]
                )
            first, places = int(window["first"]), window["offsets"].reshape(-1, 2).tolist()
            last = first + len(places)
            pairs = {(a, b): start[a] + end[b] for a in range(first, last) for b in range(a, last)}
            (a, b), score = max(pairs.items(), key=lambda one: one[1])
            (said,) = bench.examples.some(ROWS).kind.output.predict(bench.model, batch)
            found = said["starts"][0], said["starts"][0] + said["lengths"][0] - 1
            assert found == (a, b)
            assert said["scores"][0] == pytest.approx(score, abs=1e-6)
            assert said["null_score"] == pytest.approx(start[0] + end[0], abs=1e-6)
            assert len(said["scores"]) == min(20, len(pairs))
            text = CONTEXTS[index][places[a - first][0] : places[b - first][1]]
            assert bench.said(ROWS)[index]["spans"][0] == text


LONG = [0, 2, 5, 7]
"""Rows whose contexts make several windows."""


def windows(folder: Path, stride: int | None = 2, max_length: int = 9, **options: Any) -> Bench:
    """These rows in windows of few tokens."""
    said: dict[str, Any] = {"encoding": {"stride": stride}, "unanswerable": True}
    kind = kind_named("question-answering", said | options)
    answers = [squad(CONTEXTS[at], ANSWERS[at]) for at in LONG]
    rows = pa.table(
        {
            "id": [f"row-{at}" for at in LONG],
            "context": [CONTEXTS[at] for at in LONG],
            "question": [QUESTIONS[at] for at in LONG],
            "answers": pa.array(answers, kind.output.schema().field("answers").type),
        }
    )
    processor = kind.inputs.processor(folder_of(folder))
    inputs = kind.inputs.encode(rows, processor, max_length)
    targets = kind.output.encode(rows, inputs, processor, max_length)
    batch = encoded_rows(kind, rows["id"].to_pylist(), inputs, targets)
    examples = Examples(kind, pa.Table.from_batches([batch]), kind.inputs.fillers(processor))
    model = model_of(AutoModelForQuestionAnswering, num_labels=2)
    return Bench(rows, processor, examples, examples, model)


def test_windows_overlap_by_the_stride_and_hold_the_whole_context(tmp_path: Path) -> None:
    bench = windows(tmp_path)
    rows = bench.examples.rows
    assert len(bench.examples) > len(rows) == len(LONG)
    assert bench.examples.ids == [f"row-{at}" for at in LONG]
    for at, row in zip(LONG, rows, strict=True):
        words = [
            [
                CONTEXTS[at][slice(*place)]
                for place in bench.examples.inputs[one]["offsets"].reshape(-1, 2).tolist()
            ]
            for one in row
        ]
        assert all(first[-2:] == second[:2] for first, second in pairwise(words))
        assert " ".join(chain(words[0], *(one[2:] for one in words[1:]))) == CONTEXTS[at]
        assert all(bench.examples.sizes[one] <= 9 for one in row)


def test_an_answer_is_learnt_where_it_stands_whole(tmp_path: Path) -> None:
    """Elsewhere start and end are the first token."""
    examples = windows(tmp_path).examples
    for at, row in zip(LONG, examples.rows, strict=True):
        spans = set()
        for one in row:
            window, target = examples.inputs[one], examples.targets[one]
            places = window["offsets"].reshape(-1, 2)
            if target["start"] == 0:
                assert target["end"] == 0
                span = ANSWERS[at]
                assert span is None or places[0, 0] > span[0] or places[-1, 1] < span[1]
                continue
            start, end = (target[side] - window["first"] for side in ("start", "end"))
            spans.add((int(places[start, 0]), int(places[end, 1])))
        assert spans == ({ANSWERS[at]} if ANSWERS[at] else set())


def test_a_row_is_predicted_by_its_best_window(tmp_path: Path) -> None:
    """Its spans are those of all windows, each once; no answer has the least of its scores."""
    bench = windows(tmp_path)
    examples, output = bench.examples, bench.examples.kind.output
    said, rows = bench.said(3), list(examples.rows)
    assert len(said) == len(LONG) < len(examples)
    for row, found in zip(rows, said, strict=True):
        alone = [output.predict(bench.model, examples.batch([one]))[0] for one in row]
        assert found["scores"][0] == pytest.approx(max(one["scores"][0] for one in alone), abs=1e-5)
        assert found["null_score"] == pytest.approx(min(o["null_score"] for o in alone), abs=1e-5)
        assert found["scores"] == sorted(found["scores"], reverse=True)
        spans = list(zip(found["starts"], found["spans"], strict=True))
        assert len(set(spans)) == len(spans)
    table = predictions(examples, said)
    assert [row["question"] for row in table] == [QUESTIONS[at] for at in LONG]
    assert table[0]["answers"] == ["the film"]
    assert table[-1]["answers"] == []
    some = examples.some(2)
    assert (some.ids, len(some.rows)) == (["row-0", "row-5"], 2)
    assert predictions(some, said[::2])[1] == table[2]


@pytest.mark.parametrize(
    ("unanswerable", "threshold", "expected"),
    [(True, 0.0, ""), (True, 2.0, "dull"), (False, 0.0, "dull")],
)
def test_no_answer_is_said_where_its_score_is_higher(
    unanswerable: bool, threshold: float, expected: str
) -> None:
    options: dict[str, Any] = {
        "unanswerable": unanswerable,
        "decoding": {"null_threshold": threshold},
    }
    row = {"spans": ["dull", "warm"], "scores": [1.0, 0.5], "null_score": 2.5}
    output = kind_named("question-answering", options).output
    assert output.decide([row]) == [{"text": expected}]


def test_an_answer_that_no_window_holds_is_counted(tmp_path: Path) -> None:
    found = windows(tmp_path, stride=0, max_length=3).examples
    lost = [found.kind.output.left_out(found.targets[one]) for row in found.rows for one in row]
    whole = [any(found.targets[one]["start"] for one in row) for row in found.rows]
    assert sum(lost) == sum(
        not held and ANSWERS[at] is not None for at, held in zip(LONG, whole, strict=True)
    )
    assert sum(lost) == 1


@pytest.mark.parametrize(("stride", "length"), [(7, 9), (0, 2), (None, 2)])
def test_a_question_that_leaves_no_room_is_named(
    tmp_path: Path, stride: int | None, length: int
) -> None:
    with pytest.raises(ValueError, match=r"max_length: ., and the question of row 'row-.'.*from"):
        windows(tmp_path, stride=stride, max_length=length)


def test_a_tokenizer_without_places_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    folder = folder_of(tmp_path)
    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.is_fast", False)
    with pytest.raises(ValueError, match=r"does not say where its tokens stand.*allowed: a fast"):
        kind_named("question-answering").inputs.processor(folder)


@pytest.mark.parametrize("name", ["prompt", "p-tuning"])
def test_a_prompt_takes_no_place_of_the_tokens(tmp_path: Path, name: str) -> None:
    """Whatever the head is called, and whatever a classifier of the same type would read."""
    own: Any = tiny("modernbert").config
    sizes = {"id2label": None, "num_labels": 2, "classifier_pooling": "cls"}
    model = AutoModelForQuestionAnswering.from_config(type(own)(**(own.to_dict() | sizes)))
    METHODS.build(name, {"length": 3}).apply(model, torch.Generator().manual_seed(0))
    examples = windows(tmp_path).examples
    batch = examples.batch([0, 1])
    batch.inputs.pop("token_type_ids")
    found = examples.kind.output.forward(model.eval(), batch)
    assert found.shape == (2, 9, 2)
    assert found[0, 5:].isinf().all()
    assert found[0, :5].isfinite().all()


TEXT = "It was shown in Oslo, and Oslo again."
READ: dict[str, tuple[Any, list[str], list[int]]] = {
    "SQuAD": ({"text": ["Oslo", "Oslo"], "answer_start": [16, 26]}, ["Oslo"] * 2, [16, 26]),
    "records": ([{"text": "Oslo", "answer_start": 26}], ["Oslo"], [26]),
    "two columns of CSV": (("Oslo", "16"), ["Oslo"], [16]),
    "JSON in a text": ('{"text": ["Oslo"], "answer_start": [16]}', ["Oslo"], [16]),
    "no answer": ({"text": [], "answer_start": []}, [], []),
    "no records": ([], [], []),
    "two blank columns": (("", None), [], []),
}


def made(answers: Any, **options: Any) -> Any:
    row = {"context": TEXT, "question": "where?", "answers": answers}
    return kind_named("question-answering", options).row(row)["answers"]


@pytest.mark.parametrize("name", READ)
def test_layouts_of_answers_are_read(name: str) -> None:
    given, texts, starts = READ[name]
    found = made(given, unanswerable=True)
    assert found == {"text": texts, "answer_start": starts}


BAD: dict[str, tuple[Any, str]] = {
    "another place": ({"text": ["Oslo"], "answer_start": [15]}, "' Osl' there.*as 16"),
    "behind the end": (("Oslo", 99), "the context has '' there"),
    "not in the context": (("Rome", 16), "'Oslo' there, the answer is 'Rome'"),
    "no start": ({"text": ["Oslo"], "answer_start": []}, "not a text and a start each"),
    "a start that is none": (("Oslo", -1), "not a text and a start each"),
    "a text alone": ("Oslo", "are no answers; allowed: SQuAD's"),
    "no answer": ([], "no answer; allowed: one, or unanswerable: true"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_answers_is_said(name: str) -> None:
    given, words = BAD[name]
    with pytest.raises(RowError, match=words) as found:
        made(given)
    assert found.value.column == "answers"
