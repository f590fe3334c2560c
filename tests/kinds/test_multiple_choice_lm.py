"""Choices by likelihood, held to the contract, to a loop over the library's logits, and by hand."""

import math
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
import torch
from torch import nn

from finegrid.models.live import anatomy_of
from finegrid.training.data import Examples
from finegrid.training.encoding import encoded_rows
from finegrid.training.evaluation import predict, predictions
from kinds.contract import RowError
from kinds.registry import kind_named
from tests.kinds.contract import CPU, ROWS, Bench, KindContract
from tests.kinds.test_multiple_choice import ANSWERS, CHOICES, CONTEXTS, QUESTIONS
from tests.kinds.test_writing import CHAT
from tests.kinds.writing import SIZES, write_writer, writer
from tests.methods.architectures import tiny
from tests.models.texts import PAD, SPECIAL, WORDS, write_tokenizer

KIND = "multiple-choice-lm"
SHORT = [*CHOICES[:-1], ["was", "film", "plot", "the film"]]


class TestMultipleChoiceLM(KindContract):
    """Questions of two to four choices, on a tiny decoder of random weights."""

    kind = KIND
    options: ClassVar = {"choices": 4}
    columns: ClassVar = {
        "context": CONTEXTS,
        "question": QUESTIONS,
        "choices": SHORT,
        "answer": ANSWERS,
    }

    def model(self) -> nn.Module:
        return writer("llama")

    def folder(self, root: Path) -> Path:
        return write_writer(root / "writer", "llama")

    def test_the_right_choice_alone_is_learnt(self, bench: Bench) -> None:
        """Its tokens by the library's own loss, and neither the question nor a token that ends."""
        assert len(bench.whole) == sum(map(len, SHORT))
        assert bench.whole.ids == bench.examples.ids == list(map(str, range(ROWS)))
        decode = bench.processor.tokenizer.decode
        for at in range(ROWS):
            batch, right = bench.examples.batch([at]), SHORT[at][ANSWERS[at]]
            ids = batch.inputs["input_ids"]
            joined = " ".join(filter(None, (CONTEXTS[at], QUESTIONS[at], right)))
            assert decode(ids[0]) == f"<s> {joined}"
            labels = ids.clone()
            labels[:, : -len(right.split())] = -100
            theirs: Any = bench.model(**batch.inputs, labels=labels)
            expected = theirs.loss * len(right.split())
            torch.testing.assert_close(bench.loss(at), expected, atol=1e-5, rtol=1e-5)

    def test_predictions_can_be_read(self, bench: Bench) -> None:
        rows = predictions(bench.whole, bench.said(ROWS))
        for at, row in enumerate(rows):
            assert (row["question"], row["choices"]) == (QUESTIONS[at], SHORT[at])
            assert row["answer"] == SHORT[at][ANSWERS[at]]
            assert row["chosen"] == SHORT[at][row["prediction"]]
            assert row["chosen_norm"] == SHORT[at][row["prediction_norm"]]


def examples(folder: Path, rows: list[dict[str, Any]], **said: Any) -> Examples:
    """All choices of these rows, encoded for the model in a folder."""
    max_length = said.pop("max_length", 32)
    kind = kind_named(KIND, {"choices": 4} | said)
    schema = pa.schema([*kind.inputs.schema(), *kind.output.schema()])
    ids = [f"row-{at}" for at in range(len(rows))]
    kept = [name for name in schema.names if name in rows[0]]
    table = pa.Table.from_pylist(rows, pa.schema([schema.field(name) for name in kept]))
    table = table.append_column("id", pa.array(ids))
    processor = kind.inputs.processor(folder)
    inputs = kind.inputs.encode(table, processor, max_length)
    targets = kind.output.encode(table, inputs, processor, max_length)
    encoded = pa.Table.from_batches([encoded_rows(kind, ids, inputs, targets)])
    return Examples(kind, encoded, kind.inputs.fillers(processor), folder)


@torch.no_grad()
def by_hand(
    model: Any, tokenizer: Any, question: str, choices: list[str], side: str
) -> list[float]:
    """The log-likelihood of each choice, by one batch that is padded on a side."""
    asked = len(tokenizer(question)["input_ids"])
    rows = [tokenizer(f"{question} {choice}")["input_ids"] for choice in choices]
    longest = max(map(len, rows))
    gaps = [[PAD] * (longest - len(row)) for row in rows]
    padded = zip(rows, gaps, strict=True)
    ids = torch.tensor([gap + row if side == "left" else row + gap for row, gap in padded])
    lengths = [(len(gap), len(row)) for row, gap in zip(rows, gaps, strict=True)]
    mask = torch.tensor(
        [[0] * a + [1] * b if side == "left" else [1] * b + [0] * a for a, b in lengths]
    )
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    found = []
    for row, gap, said in zip(rows, gaps, logits.log_softmax(dim=-1), strict=True):
        first = len(gap) if side == "left" else 0
        places = range(asked, len(row))
        found.append(sum(said[first + at - 1, row[at]].item() for at in places))
    return found


QUIZ: list[dict[str, Any]] = [
    {"question": "the film was", "choices": ["great", "dull the plot"], "answer": 1},
    {"question": "warm", "choices": ["was", "plot plot", "the film was dull", "the"], "answer": 0},
    {"question": "the plot the plot the film", "choices": ["warm dull", "was"], "answer": 0},
]


def folder_of(root: Path, model_type: str) -> Path:
    """A model's tokenizer and configuration; of GPT-2 no token stands before a text."""
    if model_type == "llama":
        return write_writer(root / "writer", "llama")
    write_tokenizer(root / "plain")
    config: Any = writer(model_type).config
    config.save_pretrained(root / "plain")
    return root / "plain"


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_likelihoods_are_those_of_a_loop_over_the_library_s_logits(
    tmp_path: Path, model_type: str, batch_size: int
) -> None:
    """Padded there on either side, and here in a batch of one or of many."""
    found, model = examples(folder_of(tmp_path, model_type), QUIZ), writer(model_type)
    tokenizer = found.processor.tokenizer
    rows = predictions(found, predict(model, found, batch_size, CPU, "fp32"))
    for row, one in zip(rows, QUIZ, strict=True):
        for side in ("left", "right"):
            own = by_hand(model, tokenizer, one["question"], one["choices"], side)
            assert row["log_likelihoods"] == pytest.approx(own, abs=1e-4)
        normed = [value / len(text) for value, text in zip(own, one["choices"], strict=True)]
        assert row["prediction"] == own.index(max(own))
        assert row["prediction_norm"] == normed.index(max(normed))


def test_of_a_uniform_model_the_fewest_tokens_are_likeliest(tmp_path: Path) -> None:
    """log p = -n log V of n tokens; -n log V / c of c characters: the first of equal ones."""
    model: Any = writer("llama")
    model.get_output_embeddings().weight.data.zero_()
    rows = [
        {"question": "the", "choices": ["dull great", "was"], "answer": 0},
        {"question": "the", "choices": ["was", "the", "film"], "answer": 2},
    ]
    found = examples(folder_of(tmp_path, "llama"), rows)
    first, second = predictions(found, predict(model, found, 3, CPU, "fp32"))
    one = math.log(SIZES["vocab_size"])
    assert SIZES["vocab_size"] == 4 + len(WORDS)
    assert first["log_likelihoods"] == pytest.approx([-2 * one, -one], abs=1e-5)
    assert (first["prediction"], first["prediction_norm"]) == (1, 0)  # 2 / 10 < 1 / 3
    assert second["log_likelihoods"] == pytest.approx([-one] * 3, abs=1e-5)
    assert (second["prediction"], second["prediction_norm"]) == (0, 2)  # 1 / 4 < 1 / 3


TEMPLATES: dict[str, tuple[dict[str, Any], str]] = {
    "as it stands": ({}, "<s> warm the film"),
    "of one's own": (
        {"encoding": {"template": "plot {context} dull {question} great {choice}"}},
        "<s> plot warm dull the film great",
    ),
    "chat": ({"encoding": {"template": "chat"}}, "user warm the film </s> assistant "),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_template_says_what_stands_before_a_choice(tmp_path: Path, name: str) -> None:
    said, question = TEMPLATES[name]
    folder = write_writer(tmp_path / "writer", "llama", chat_template=CHAT)
    rows = [{"context": "warm", "question": "the film", "choices": ["was", "dull"], "answer": 0}]
    found = examples(folder, rows, **said)
    tokenizer, one = found.processor.tokenizer, found.inputs[0]
    known = tokenizer(question, add_special_tokens=False)["input_ids"]
    assert one["input_ids"][: one["prompt"]].tolist() == known
    assert tokenizer.decode(one["input_ids"][one["prompt"] :]) == "was"


def test_the_space_before_a_choice_is_the_choice_s(tmp_path: Path) -> None:
    """A tokenizer of bytes, as that of GPT-2, has one token for a space and the word after it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(special_tokens=list(SPECIAL), show_progress=False)
    made.train_from_iterator(["Q: the film A: was great"] * 3, trainer)
    folder = folder_of(tmp_path, "gpt2")
    made.save(str(folder / "tokenizer.json"))
    choices = ["was", "great"]
    rows = [{"question": "the film", "choices": choices, "answer": 0}]
    found = examples(folder, rows, encoding={"template": "Q: {question} A: {choice}"})
    tokenizer = found.processor.tokenizer
    for at, choice in enumerate(choices):
        ids, asked = found.inputs[at]["input_ids"].tolist(), found.inputs[at]["prompt"]
        assert ids == tokenizer(f"Q: the film A: {choice}")["input_ids"]
        assert [tokenizer.decode(part) for part in (ids[:asked], ids[asked:])] == [
            "Q: the film A:",
            f" {choice}",
        ]
        assert len(ids) == asked + 1


def test_what_is_too_long_lacks_the_start_of_its_question_and_no_choice(tmp_path: Path) -> None:
    folder = write_writer(tmp_path / "writer", "llama")
    rows = [{"question": "the film was", "choices": ["great warm", "dull"], "answer": 1}]
    found = examples(folder, rows, max_length=4)
    decode = found.processor.tokenizer.decode
    assert [decode(found.inputs[at]["input_ids"]) for at in range(2)] == [
        "film was great warm",
        "the film was dull",
    ]
    assert [found.kind.inputs.left_out(found.inputs[at]) for at in range(2)] == [2, 1]
    assert list(found.weights) == [2, 1]
    with pytest.raises(ValueError, match=r"nothing of the question in row 'row-0', .* from 3"):
        examples(folder, rows, max_length=2)


def test_a_question_of_no_token_has_one_before_its_choices(tmp_path: Path) -> None:
    rows = [{"question": "", "choices": ["was", "the film"], "answer": 0}]
    found = examples(folder_of(tmp_path, "gpt2"), rows)
    assert found.inputs[1]["input_ids"].tolist() == [2, 4, 5]
    assert found.inputs[1]["prompt"] == 1


def row(encoding: dict[str, Any] | None = None, **values: Any) -> Any:
    said = {"encoding": encoding} if encoding else {}
    known = {"question": "why?", "choices": ["a", "b"], "answer": 1}
    return kind_named(KIND, said).row(known | values)


def test_a_template_goes_with_the_columns() -> None:
    with_context = {"template": "{context} {question} {choice}"}
    assert row(with_context, context="so")["context"] == "so"
    with pytest.raises(RowError, match=r"has no context; allowed: no {context} in it"):
        row(with_context)
    with pytest.raises(RowError, match=r"which is left out; allowed: {context} in it"):
        row({"template": "Q: {question}\nA: {choice}"}, context="so")


@pytest.mark.parametrize(
    "template", ["{question}", "{choice}", "{question} {choice}.", "{question {choice}", "{other}"]
)
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"ends in {choice}"):
        row({"template": template})


def test_a_model_that_sees_the_choice_is_refused() -> None:
    inputs = kind_named(KIND, {"choices": 2}).inputs
    unused: Any = None
    assert inputs.unfit(unused, anatomy_of(writer("llama"))) is None
    assert "allowed: a decoder" in str(inputs.unfit(unused, anatomy_of(tiny("bert"))))


def test_choices_without_a_likelihood_are_refused(tmp_path: Path) -> None:
    kind = kind_named(KIND, {"choices": 2})
    rows = pa.table({"id": ["a", "b"], "question": ["x", "y"], "choices": [["p", "q"], ["r", " "]]})
    (problem,) = kind.inputs.problems(rows)
    assert problem == "choices: 1 are blank, the first in row 'b'; allowed: texts"
    with pytest.raises(ValueError, match="a finite log-likelihood for each"):
        kind.output.decide([{"choices": ["p", "q"], "log_likelihoods": [-1.0, math.nan]}])
