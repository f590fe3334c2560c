"""Texts that are longer than a model reads at a time, learnt in pieces."""

from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from torch.nn.functional import log_softmax

from finegrid.prepare.packing import packed
from finegrid.training.data import Examples
from finegrid.training.evaluation import predict, prediction_table, predictions, score
from kinds.outputs.token_labels import LEFT_OUT
from tests.kinds.contract import CPU
from tests.kinds.test_writing import examples
from tests.kinds.writing import write_writer, writer
from tests.models.texts import WORDS

LENGTH = 6
COUNTS = (3, 5, 4, 14, 1, 30)
TEXTS = [
    " ".join(WORDS[(at * at + 3 * count) % len(WORDS)] for at in range(count)) for count in COUNTS
]


def pieces(folder: Path, **encoding: Any) -> Examples:
    options = {"encoding": {"pieces": True} | encoding}
    return examples(folder, "causal-lm", options, max_length=LENGTH, target=TEXTS)


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_every_token_is_learnt_once(model_type: str, tmp_path: Path) -> None:
    """Each piece begins as a text does, and the last one has the end of the text."""
    found = pieces(write_writer(tmp_path / "writer", model_type))
    tokenizer, starts = found.processor.tokenizer, found.processor.first
    assert max(found.sizes) == LENGTH
    assert len(found.rows) == len(TEXTS) < len(found)
    for row, text in zip(found.rows, TEXTS, strict=True):
        whole = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        own = [found.inputs[at]["input_ids"].tolist() for at in row]
        assert {one[0] for one in own} == {starts}
        assert [token for one in own for token in one[1:]] == whole
        labels = [int(one) for at in row for one in found.targets[at]["labels"]]
        assert [one for one in labels if one != LEFT_OUT] == whole
        assert not any(found.kind.inputs.left_out(found.inputs[at]) for at in row)
        assert not any(
            found.kind.output.is_altered(found.targets[at], found.processor) for at in row
        )
    assert found.truths == [{"reference": text, "answer": text} for text in TEXTS]


@torch.no_grad()
def test_a_row_has_the_likelihood_of_all_of_its_pieces(tmp_path: Path) -> None:
    found, model = pieces(write_writer(tmp_path / "writer", "llama")), writer("llama")
    said = predict(model, found, 4, CPU, "fp32", metrics=("perplexity",))
    assert len(said) == len(TEXTS)
    for count, row, text in zip(said, found.rows, TEXTS, strict=True):
        expected = 0.0
        for at in row:
            ids = torch.tensor([found.inputs[at]["input_ids"].tolist()])
            logs = log_softmax(model(input_ids=ids).logits[0].double(), dim=-1)
            expected += float(logs[:-1].gather(1, ids[0, 1:, None]).sum())
        assert count["log_likelihood"] == pytest.approx(expected, rel=1e-5)
        assert count["target_tokens"] == len(text.split()) + 1
    total = sum(row["log_likelihood"] for row in said) / sum(row["target_tokens"] for row in said)
    scores = score(predictions(found, said), ["perplexity"])
    assert scores["perplexity"].value == pytest.approx(exp(-total))
    assert scores["perplexity"].n == len(TEXTS)
    assert prediction_table("test", found, said).num_rows == len(TEXTS)


def test_a_text_that_is_short_enough_is_as_without_pieces(tmp_path: Path) -> None:
    folder = write_writer(tmp_path / "writer", "llama")
    whole = examples(folder, "causal-lm", {}, max_length=LENGTH, target=TEXTS[:1])
    alone = pieces(folder)
    assert alone.inputs[0]["input_ids"].tolist() == whole.inputs[0]["input_ids"].tolist()
    assert alone.targets[0]["labels"].tolist() == whole.targets[0]["labels"].tolist()


def test_the_last_pieces_are_packed(tmp_path: Path) -> None:
    single = pieces(write_writer(tmp_path / "writer", "llama"), packing=True)
    rows = pa.Table.from_batches(packed(single.kind, single.table.to_batches(), LENGTH))
    packs, model = replace(single, table=rows), writer("llama")
    assert len(packs) < len(single)
    assert sum(packs.weights) == sum(single.weights) == sum(COUNTS) + len(COUNTS)
    with torch.no_grad():
        one, other = (
            found.kind.output.loss(model, found.batch(range(len(found))))
            for found in (single, packs)
        )
    torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)


def test_a_bound_of_the_units_holds(tmp_path: Path) -> None:
    found = pieces(write_writer(tmp_path / "writer", "llama"))
    file_bytes = sum(map(len, TEXTS))
    bound = found.kind.inputs.units(len(TEXTS), file_bytes, LENGTH, None)  # type: ignore[arg-type]
    assert bound >= sum(found.sizes)


def test_pieces_go_with_plain_texts_alone(tmp_path: Path) -> None:
    kind = pieces(write_writer(tmp_path / "writer", "llama")).kind
    assert kind.conflict(("target",)) is None
    conflict = kind.conflict(("prompt", "target"))
    assert conflict is not None
    key, problem = conflict
    assert (key, problem) == (
        "encoding",
        "pieces: true is for plain texts; allowed: columns without prompt, or pieces: false",
    )
    rows = pa.table({"id": ["a"], "prompt": ["the film"], "target": ["was great"]})
    assert list(kind.inputs.problems(rows)) == [problem]
    with pytest.raises(ValueError, match=r"pieces: true is for plain texts; allowed: template"):
        pieces(tmp_path / "writer", template="chat")
