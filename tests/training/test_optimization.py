"""Optimizers and schedules against closed forms."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from torch import nn

from finegrid.records.training import Training
from finegrid.training.loop import Trainer
from finegrid.training.optimization import make_optimizer, make_schedule
from methods.registry import METHODS
from tests.methods.architectures import tiny
from tests.methods.cases import settings_of
from tests.methods.reference import applied
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


def rates(model: nn.Module, settings: Training) -> dict[str, float]:
    """Name of a parameter -> its learning rate."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = make_optimizer(model, settings).param_groups
    return {names[id(p)]: group["lr"] for group in groups for p in group["params"]}


def test_groups_have_the_learning_rates_that_they_are_given() -> None:
    model = applied("lora", "bert")
    found = rates(model, training(learning_rates={"head": 0.25, "B": "16x"}))
    assert found.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    expected = {"A": 0.5, "B": 8.0, "weight": 0.25, "bias": 0.25}
    assert found == {name: expected[name.rpartition(".")[2]] for name in found}
    assert {name for name, rate in found.items() if rate == 0.25} == {
        f"classifier.{name}" for name in ("weight", "bias")
    }


def test_the_tables_of_tokens_are_a_group_by_whatever_name() -> None:
    parts = {"ranks": {"method": "lora"}, "vectors": {"method": "token-embeddings"}}
    model = applied("combine", "bert", parts=parts)
    found = rates(model, training(learning_rates={"tokens": "0.1x"}))
    assert {name for name, rate in found.items() if rate == 0.05} == {
        "bert.embeddings.word_embeddings.weight"
    }


def test_a_multiple_for_b_is_lora_plus() -> None:
    """peft's optimizer for LoRA+ has the same rate for every factor."""
    config = LoraConfig(r=2, target_modules=["query", "value"])
    theirs = get_peft_model(tiny("bert"), config)
    plus = create_loraplus_optimizer(
        theirs, optimizer_cls=torch.optim.AdamW, lr=0.5, loraplus_lr_ratio=16
    )
    names = {id(parameter): name for name, parameter in theirs.named_parameters()}
    expected = {names[id(p)]: g["lr"] for g in plus.param_groups for p in g["params"]}
    assert len(expected) == 8
    assert rates(theirs.base_model.model, training(learning_rates={"lora_B": "16x"})) == {
        name.removeprefix("base_model.model."): rate for name, rate in expected.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_without_groups_the_optimizer_is_as_ever(kind: str) -> None:
    groups = make_optimizer(OneLayer(), training(optimizer={"name": kind})).param_groups
    assert [[tuple(p.shape) for p in group["params"]] for group in groups] == [[(3, 4)], [(3,)]]
    assert [group["lr"] for group in groups] == [0.5, 0.5]
    assert "learning_rates" not in training().model_dump()


def test_a_group_of_which_nothing_is_trained_is_an_error() -> None:
    with pytest.raises(ValueError, match="learning_rates: A: nothing of that name is trained"):
        make_optimizer(applied("bitfit", "bert"), training(learning_rates={"A": "2x"}))


@pytest.mark.parametrize("rate", [0, -1.0, "0x", "16", "x", "-2x"])
def test_a_rate_is_a_number_or_a_multiple(rate: Any) -> None:
    with pytest.raises(ValueError, match="learning_rates"):
        training(learning_rates={"head": rate})


@pytest.mark.parametrize("name", [name for name in METHODS if ":" not in name])
def test_a_method_names_all_that_it_adds(name: str) -> None:
    found: set[str] = set()
    for settings in settings_of(name):
        groups = set(METHODS.build(name, settings).groups)
        model = tiny("bert")
        base = {name for name, _ in model.named_parameters()}
        try:
            METHODS.build(name, settings).apply(model, torch.Generator())
        except ValueError:  # settings for a stack
            continue
        trained = (n for n, p in model.named_parameters() if p.requires_grad and n not in base)
        found |= {name for name in trained if not groups & set(name.split("."))}
    assert not found
