"""Tiny models of several architectures with a method, and trainings of them on a few examples."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from finegrid.models.seeds import seed_global
from finegrid.records.prepared import PreparedTask, SplitName
from finegrid.records.training import Training
from finegrid.training.data import Examples
from finegrid.training.encoding import encoded_rows
from finegrid.training.loop import Event, Trained, Trainer
from kinds.registry import kind_named
from methods.registry import METHODS
from tests.methods.architectures import CLASSES, TINY

SIZES: dict[SplitName, int] = {"train": 24, "validation": 21}


def applied(model_type: str, method: str, settings: dict[str, Any]) -> nn.Module:
    """A tiny model with the method, drawn anew."""
    torch.manual_seed(0)
    model = TINY[model_type]()
    METHODS.build(method, settings).apply(model, torch.Generator().manual_seed(0))
    return model


def trainer(model: nn.Module, model_type: str, log: list[Event], **training: Any) -> Trainer:
    """A training of two epochs in batches of 8, which is scored four times in batches of 4."""
    options: dict[str, Any] = {
        "learning_rate": 1e-2,
        "epochs": 2,
        "batch_size": 8,
        "evaluations": 4,
        "evaluation_batch_size": 4,
    }
    kind = f"{'image' if model_type == 'vit' else 'text'}-classification"
    task = PreparedTask.model_construct(kind=kind, labels=("a", "b", "c"), metrics=("accuracy",))
    splits = {name: _examples(kind, name) for name in SIZES}
    return Trainer(model, task, splits, Training.model_validate(options | training), log.append)


def train(trained: Trainer) -> Trained:
    """Train as a run does."""
    seed_global(0, "dropout")
    return trained.train(torch.Generator().manual_seed(0))


def _examples(kind: str, name: SplitName) -> Examples:
    draw, one = np.random.default_rng(len(name)), kind_named(kind)
    make = _pictures if kind.startswith("image") else _texts
    inputs = list(make(draw, SIZES[name]))
    targets = [{"labels": int(draw.integers(CLASSES))} for _ in inputs]
    ids = [str(number) for number in range(len(inputs))]
    return Examples(one, pa.Table.from_batches([encoded_rows(one, ids, inputs, targets)]))


def _texts(draw: np.random.Generator, count: int) -> Iterator[dict[str, Any]]:
    """Of 3 to 20 tokens, so that batches are padded."""
    for _ in range(count):
        yield {"input_ids": draw.integers(3, 40, draw.integers(3, 21)).tolist()}


def _pictures(draw: np.random.Generator, count: int) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        yield {"pixel_values": draw.random((1, 8, 8), dtype=np.float32)}
