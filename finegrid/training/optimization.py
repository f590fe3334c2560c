"""Optimizer and learning-rate schedule."""

import math
from functools import partial

import torch
from torch import nn

from finegrid.records.specification import Training


def make_optimizer(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    """The named optimizer over the trainable parameters.

    Weight decay spares vectors (biases and norms), as is the custom since BERT. Adam and AdamW
    run fused: one pass over memory, with bits of its own.
    """
    chosen = training.optimizer
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": chosen.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if chosen.name == "sgd":
        return torch.optim.SGD(groups, lr=training.learning_rate, momentum=chosen.momentum)
    kind = torch.optim.AdamW if chosen.name == "adamw" else torch.optim.Adam
    return kind(
        groups, lr=training.learning_rate, betas=chosen.betas, eps=chosen.epsilon, fused=True
    )


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
