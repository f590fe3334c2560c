"""Our methods beside a reference implementation: the same start, ten steps, the same end."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from finegrid.models.head import head_parameters
from methods.registry import METHODS
from tests.methods.architectures import labels, tiny

Batch = dict[str, torch.Tensor]


def applied(name: str, model_type: str, **settings: Any) -> nn.Module:
    """The tiny model with our method."""
    model = tiny(model_type)
    METHODS.build(name, settings).apply(model, torch.Generator().manual_seed(2))
    return model


def train_head(model: nn.Module) -> None:
    """Let a reference train the task's head too, as every method of ours does."""
    for parameter in head_parameters(model):
        parameter.requires_grad_()


def assert_agree(
    ours: nn.Module,
    theirs: nn.Module,
    batch: Batch,
    their_batch: Batch | None = None,
    learning_rate: float = 1e-3,
    tolerance: float = 1e-6,
) -> None:
    """As many trained parameters, the same outputs before and after, the same losses between."""
    their_batch = batch if their_batch is None else their_batch
    sizes = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (ours, theirs)]
    assert sizes[0] == sizes[1]
    assert_same_outputs(ours(**batch), theirs(**their_batch), tolerance)
    found = losses(ours, batch, learning_rate)
    expected = losses(theirs, their_batch, learning_rate)
    assert found == pytest.approx(expected, abs=tolerance)
    assert expected[-1] < expected[0] - 100 * tolerance
    assert_same_outputs(ours(**batch), theirs(**their_batch), tolerance)


def assert_same_outputs(ours: Any, theirs: Any, tolerance: float) -> None:
    torch.testing.assert_close(ours.logits, theirs.logits, atol=tolerance, rtol=0)


def losses(model: nn.Module, batch: Batch, learning_rate: float) -> list[float]:
    """Of ten steps of AdamW on one batch."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate)
    found = []
    for _ in range(10):
        loss = functional.cross_entropy(model(**batch).logits, labels())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        found.append(loss.item())
    return found
