"""`label_smoothing`: what is learnt has smoothed targets, and no score has."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from finegrid.records.prepared import PreparedTask
from finegrid.records.training import Training
from finegrid.training.loop import Event, Trainer
from tests.kinds.test_writing import of_type
from tests.kinds.writing import write_writer, writer
from tests.training.frozen import applied, trainer

SMOOTHING = 0.1
OPTIONS: dict[str, Any] = {"learning_rate": 1e-2, "epochs": 1, "batch_size": 8}


def first_step(found: Trainer, events: list[Event]) -> float:
    """The loss of a step on the first eight examples, which changes nothing."""
    found.optimizer = torch.optim.SGD(found.model.parameters(), lr=0.0)
    found.step(1, list(range(8)))
    return float(events[-1]["loss"])


def test_the_loss_of_a_step_is_the_librarys_mean() -> None:
    events: list[Event] = []
    model = applied("llama", "full", {})
    found = trainer(model, "llama", events, label_smoothing=SMOOTHING)
    batch: Any = found.train_split.batch(range(8))
    logits, labels = model(**batch.inputs).logits, batch.targets["labels"]
    expected = cross_entropy(logits, labels, label_smoothing=SMOOTHING).item()
    assert first_step(found, events) == pytest.approx(expected, rel=1e-5)
    assert cross_entropy(logits, labels).item() != pytest.approx(expected, rel=1e-4)


def test_tokens_weigh_alike_and_the_perplexity_is_of_plain_targets(tmp_path: Path) -> None:
    """Targets have one to four tokens: each token of a batch counts once, in whatever cut."""
    examples = of_type(write_writer(tmp_path / "writer", "gpt2"), "gpt2", {})
    model: Any = writer("gpt2", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    task = PreparedTask.model_construct(kind="causal-lm", labels=(), metrics=("perplexity",))
    batch, losses = examples.batch(range(8)), list[float]()
    logits, labels = model(**batch.inputs).logits.flatten(0, 1), batch.targets["labels"].flatten()
    for cut in ({}, {"micro_batch_size": 2}, {"micro_batch_units": 16}):
        options = OPTIONS | cut | {"label_smoothing": SMOOTHING}
        splits: Any = {"train": examples, "validation": examples}
        events: list[Event] = []
        found = Trainer(model, task, splits, Training.model_validate(options), events.append)
        losses.append(first_step(found, events))
    expected = cross_entropy(logits, labels, label_smoothing=SMOOTHING).item()
    assert losses == pytest.approx([expected] * 3, rel=1e-5)
    found.evaluate(1)
    assert found.best is not None
    plain = math.exp(cross_entropy(logits, labels).item())
    assert found.best.scores["perplexity"].value == pytest.approx(plain, rel=1e-5)
