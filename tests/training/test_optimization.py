"""Optimizers and schedules against closed forms."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from finegrid.records.specification import Training
from finegrid.training.loop import Trainer
from finegrid.training.optimization import make_optimizer, make_schedule
from tests.training.assets import Assets, rows_of_numbers

LINEAR = [1 - i / 7 for i in range(7)]
COSINE = [(1 + math.cos(math.pi * i / 7)) / 2 for i in range(7)]
KINDS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}


class Logits(NamedTuple):
    logits: torch.Tensor


class OneLayer(nn.Module):
    """logits = W x + b."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 3)

    def forward(self, features: torch.Tensor) -> Logits:
        return Logits(self.layer(features))


def training(**options: Any) -> Training:
    base = {"learning_rate": 0.5, "epochs": 1, "batch_size": 4, "gradient_clip_norm": None}
    return Training.model_validate(base | options)


def factors(steps: int, **options: Any) -> list[float]:
    settings = training(**options)
    optimizer = make_optimizer(OneLayer(), settings)
    schedule = make_schedule(optimizer, settings, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"] / settings.learning_rate)
        optimizer.step()
        schedule.step()
    assert {group["lr"] for group in optimizer.param_groups} == {schedule.get_last_lr()[0]}
    return found


@pytest.mark.parametrize(
    ("schedule", "expected"), [("linear", LINEAR), ("cosine", COSINE), ("constant", [1.0] * 7)]
)
def test_schedules_follow_their_formula(schedule: str, expected: list[float]) -> None:
    assert factors(7, schedule=schedule) == pytest.approx(expected)
    warm = factors(10, schedule=schedule, warmup_fraction=0.3)
    assert warm == pytest.approx([0.25, 0.5, 0.75, *expected])


def test_a_run_uses_the_schedule(assets: Assets) -> None:
    events: list[dict[str, Any]] = []
    spec = assets.specification(warmup_fraction=0.5, learning_rate=0.01)
    trainer = Trainer(
        assets.applied(spec), assets.manifest(), assets.splits(), spec.training, events.append
    )
    trainer.train(torch.Generator().manual_seed(0))
    rates = [event["learning_rate"] for event in events if "loss" in event]
    assert rates == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.005])


@pytest.mark.parametrize("name", KINDS)
def test_the_named_optimizer_has_its_settings(name: str) -> None:
    options = {"name": name, "betas": (0.8, 0.95), "epsilon": 1e-6, "momentum": 0.7}
    optimizer = make_optimizer(OneLayer(), training(optimizer=options))
    assert type(optimizer) is KINDS[name]
    group = optimizer.param_groups[0]
    found = {key: group[key] for key in ("betas", "eps", "momentum") if key in group}
    expected = {"betas": (0.8, 0.95), "eps": 1e-6}
    assert found == ({"momentum": 0.7} if name == "sgd" else expected)
    assert group["lr"] == 0.5


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_weight_decay_spares_vectors(name: str) -> None:
    model = OneLayer()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    optimizer = make_optimizer(model, training(optimizer={"name": name, "weight_decay": 0.1}))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.layer.weight.data, before["layer.weight"] * (1 - 0.5 * 0.1))
    assert torch.equal(model.layer.bias.data, before["layer.bias"])


def test_only_trainable_parameters_are_optimized() -> None:
    model = OneLayer()
    model.layer.bias.requires_grad = False
    groups = make_optimizer(model, training()).param_groups
    assert [p is model.layer.weight for group in groups for p in group["params"]] == [True]


def test_sgd_with_momentum_equals_the_computation_by_hand(assets: Assets) -> None:
    draw = np.random.default_rng(0)
    x, y = draw.random((4, 4), dtype=np.float32), np.array([0, 2, 1, 2])
    examples = rows_of_numbers("flat-image-classification", x, y.tolist())
    model = OneLayer()
    weight, bias = (p.detach().numpy().astype(np.float64) for p in model.parameters())
    options = training(optimizer={"name": "sgd", "momentum": 0.9}, schedule="constant")
    trainer = Trainer(
        model, assets.manifest(), {"train": examples}, options, log=lambda event: None
    )
    trainer.optimizer = make_optimizer(model, options)
    velocity_w, velocity_b = np.zeros_like(weight), np.zeros_like(bias)
    for number in (1, 2, 3):
        trainer.step(number, [0, 1, 2, 3])
        scores = np.exp(x @ weight.T + bias)
        error = (scores / scores.sum(axis=1, keepdims=True) - np.eye(3)[y]) / 4
        velocity_w = 0.9 * velocity_w + error.T @ x
        velocity_b = 0.9 * velocity_b + error.sum(axis=0)
        weight, bias = weight - 0.5 * velocity_w, bias - 0.5 * velocity_b
    np.testing.assert_allclose(model.layer.weight.detach(), weight, atol=1e-6)
    np.testing.assert_allclose(model.layer.bias.detach(), bias, atol=1e-6)
