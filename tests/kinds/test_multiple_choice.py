"""Questions with choices, held to the contract and to what is particular to them."""

from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from transformers import AutoModelForMultipleChoice

from kinds.contract import RowError
from kinds.registry import kind_named
from tests.kinds.contract import ROWS, Bench, KindContract
from tests.methods.architectures import tiny
from tests.models.texts import write_tokenizer

QUESTIONS = ["the film was", "warm", "", "the plot was dull", "great", "dull", "was", "the"]
CONTEXTS = ["", "the film was great", "the plot", "", "was", "dull dull", "the film", "warm"]
CHOICES = [
    ["great", "dull"],
    ["the plot", "warm", "dull dull dull"],
    ["great", "was the film", "warm", "dull"],
    ["was", "the"],
    ["great was the plot", "dull"],
    ["warm", "film", "the"],
    ["the plot was dull", "great"],
    ["was", "film", "plot", "the film " * 20],
]
ANSWERS = [0, 2, 3, 1, 0, 1, 1, 3]


def model_of(auto: Any, **sizes: Any) -> Any:
    """A tiny encoder by that auto class, in evaluation mode."""
    own: Any = tiny("bert").config
    known = own.to_dict() | {"max_position_embeddings": 64, "id2label": None}
    config: Any = type(own)(**(known | sizes))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        found = auto.from_config(config, attn_implementation="sdpa")
    return found.eval()


def folder_of(root: Path) -> Path:
    """Its tokenizer and its configuration."""
    read = ["input_ids", "token_type_ids", "attention_mask"]
    write_tokenizer(root / "tokens", "<s> $A </s>", model_input_names=read)
    config: Any = tiny("bert").config
    config.save_pretrained(root / "tokens")
    return root / "tokens"


class TestMultipleChoice(KindContract):
    """Questions of two to four choices."""

    kind = "multiple-choice"
    options: ClassVar = {"choices": 4}
    columns: ClassVar = {
        "context": CONTEXTS,
        "question": QUESTIONS,
        "choices": CHOICES,
        "answer": ANSWERS,
    }

    def model(self) -> nn.Module:
        found: nn.Module = model_of(AutoModelForMultipleChoice)
        return found

    def folder(self, root: Path) -> Path:
        return folder_of(root)

    def test_the_loss_is_the_librarys(self, bench: Bench) -> None:
        """Its mean, over questions of as many choices."""
        whole = [at for at in range(ROWS) if len(CHOICES[at]) == 4]
        batch: Any = bench.examples.batch(whole)
        theirs = bench.model(**batch.inputs, labels=batch.targets["labels"]).loss
        torch.testing.assert_close(bench.loss(*whole) / len(whole), theirs)

    def test_a_choice_that_pads_is_never_chosen(self, bench: Bench) -> None:
        """Whatever the model says of it, a question has the logits of its own choices alone."""
        batch = bench.examples.batch(range(ROWS))
        kind = bench.examples.kind
        plain = bench.model(**batch.inputs).logits
        found = kind.output.forward(bench.model, batch)
        for row, said, own, choices in zip(
            found, kind.output.predict(bench.model, batch), plain, CHOICES, strict=True
        ):
            assert row.tolist()[: len(choices)] == said["logits"] == own.tolist()[: len(choices)]
            assert row[len(choices) :].eq(-torch.inf).all()
        rows = [{"choices": ["a", "b"], "logits": [-9.0, -8.0]}]
        assert kind.output.decide(rows) == [{"prediction": 1, "chosen": "b"}]

    def test_sequences_are_the_tokenizers_pairs(self, bench: Bench) -> None:
        """Of the context, and the question with each choice."""
        tokenizer, one = bench.processor.tokenizer, bench.examples.inputs[1]
        pairs = [(CONTEXTS[1], f"{QUESTIONS[1]} {choice}") for choice in CHOICES[1]]
        known = tokenizer([a for a, _ in pairs], [b for _, b in pairs])["input_ids"]
        assert one["input_ids"].tolist() == list(chain.from_iterable(known))
        assert one["lengths"].tolist() == list(map(len, known))


def made(**values: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"answer_is": values.pop("answer_is", None)}
    return kind_named("multiple-choice", options).row({"question": "why?"} | values)


ARC = {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}
READ: dict[str, tuple[dict[str, Any], list[str], int]] = {
    "SWAG": ({"choices": ("x", "y", "z", "w"), "answer": 2}, ["x", "y", "z", "w"], 2),
    "columns of CSV, blank at the end": ({"choices": ("x", "y", ""), "answer": "1"}, ["x", "y"], 1),
    "RACE": ({"choices": ["x", "y", "z"], "answer": "C"}, ["x", "y", "z"], 2),
    "ARC": ({"choices": ARC, "answer": "2"}, ["a", "b", "c"], 1),
    "records": (
        {"choices": [{"label": "A", "text": "p"}, {"label": "B", "text": "q"}], "answer": "B"},
        ["p", "q"],
        1,
    ),
    "JSON in a text": ({"choices": '["x", "y"]', "answer": "y"}, ["x", "y"], 1),
    "the text": ({"choices": ["no", "yes"], "answer": "yes"}, ["no", "yes"], 1),
    "from 1 on": ({"choices": ["x", "y"], "answer": "2", "answer_is": "number"}, ["x", "y"], 1),
    "numbers": ({"choices": [2, 4], "answer": "4", "answer_is": "text"}, ["2", "4"], 1),
}


@pytest.mark.parametrize("name", READ)
def test_layouts_are_read(name: str) -> None:
    values, choices, answer = READ[name]
    found = made(**values)
    assert (found["choices"], found["answer"]) == (choices, answer)


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "out of range": ({"choices": ["x", "y"], "answer": 2}, "answer", "names none of 2 choices"),
    "two readings": ({"choices": ["1", "0"], "answer": "1"}, "answer", "may be '1' and '0'"),
    "the same text twice": ({"choices": ["x", "x"], "answer": "x"}, "answer", "may be"),
    "no list": ({"choices": "x", "answer": 0}, "choices", "no list of choices"),
    "one choice": ({"choices": ["x"], "answer": 0}, "choices", "no choices"),
    "a blank one": ({"choices": ["x", " ", "y"], "answer": 0}, "choices", "no choices"),
    "a gap": ({"choices": ("x", "", "y"), "answer": 0}, "choices", "no choices"),
    "no answer": ({"choices": ["x", "y"], "answer": None}, "answer", "'' names none"),
    "a label twice": (
        {"choices": {"text": ["x", "y"], "label": ["A", "A"]}, "answer": "A"},
        "choices",
        "labels",
    ),
    "nothing asked": ({"choices": ["x", "y"], "answer": 0, "question": " "}, "question", "blank"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(name: str) -> None:
    values, column, words = BAD[name]
    with pytest.raises(RowError) as found:
        made(**values)
    assert (found.value.column, words in str(found.value)) == (column, True), str(found.value)
    assert "allowed: " in str(found.value)
