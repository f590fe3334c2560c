"""Optimizer and learning-rate schedule."""

import math
from functools import partial
from typing import Any

import torch
from torch import nn

from finegrid.models.head import head_parameters
from finegrid.models.vectors import token_tables
from finegrid.records.training import Training


def make_optimizer(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    """The named optimizer over the trainable parameters.

    Weight decay spares vectors (biases and norms), as is the custom since BERT. Adam and AdamW
    run fused: one pass over memory, with bits of its own. Where nothing is trained there is nothing
    to step. Raises ValueError for a learning rate of a group of which nothing is trained, and
    without one where something is.
    """
    chosen = training.optimizer
    groups = [
        part
        for name, parameters in _groups(model, training).items()
        for part in _by_decay(name, parameters, training)
    ]
    rate = training.rate if any(group["params"] for group in groups) else 0.0
    if chosen.name == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=chosen.momentum)
    kind = torch.optim.AdamW if chosen.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=rate, betas=chosen.betas, eps=chosen.epsilon, fused=True)


def _groups(model: nn.Module, training: Training) -> dict[str | None, list[nn.Parameter]]:
    """What is trained, by the groups that have a learning rate of their own; None for the rest."""
    found: dict[str | None, list[nn.Parameter]] = {None: []}
    found |= {name: [] for name in training.learning_rates}
    known = _known(model) if training.learning_rates else {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            own = known.get(id(parameter))
            parts = [own] if own else reversed(name.split("."))
            group = next((part for part in parts if part in training.learning_rates), None)
            found[group].append(parameter)
    for group, parameters in found.items():
        if group is not None and not parameters:
            raise ValueError(f"learning_rates: {group}: nothing of that name is trained")
    return found


def _known(model: nn.Module) -> dict[int, str]:
    """The groups of what has no name of its own in all models, by the parameters' ids."""
    tables = dict.fromkeys(map(id, token_tables(model)), "tokens")
    return tables | dict.fromkeys(map(id, head_parameters(model)), "head")


def _by_decay(
    name: str | None, parameters: list[nn.Parameter], training: Training
) -> list[dict[str, Any]]:
    """A group in two: matrices, which decay, and vectors."""
    rate = {} if name is None else {"lr": training.group_rate(name)}
    decay = training.optimizer.weight_decay
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay, **rate},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, **rate},
    ]


def make_schedule(
    optimizer: torch.optim.Optimizer, training: Training, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rate's factor over `steps` optimizer steps."""
    warmup = math.ceil(training.warmup_fraction * steps)
    factor = partial(_factor, schedule=training.schedule, warmup=warmup, steps=steps)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _factor(step: int, schedule: str, warmup: int, steps: int) -> float:
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    if schedule == "linear":
        return max(0.0, 1.0 - progress)
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return 1.0
