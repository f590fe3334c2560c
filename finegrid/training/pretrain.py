"""Pretraining of a network on its source task, before it is fine-tuned on another."""

from pathlib import Path

import torch
from pydantic import JsonValue

from finegrid.models.network import LinearStack
from finegrid.models.seeds import (
    generator,
    make_deterministic,
    pretraining_stream,
    seed_global,
    weights_stream,
)
from finegrid.records.prepared import MANIFEST_FILE, PreparedTask
from finegrid.records.specification import Network
from finegrid.records.weights import WEIGHTS_FILE
from finegrid.records.write import atomic_path
from finegrid.training.data import load_examples
from finegrid.training.loop import Trainer
from finegrid.training.processes.devices import leased
from finegrid.training.processes.signals import Interruption
from finegrid.training.state.tensors import write_tensors


def make_network(spec: Network, tasks: Path, folder: Path) -> dict[str, JsonValue] | None:
    """Write the network's weights to `folder`, trained in full on its source task if it has one.

    `tasks` holds the prepared source task. Returns what pretraining reached on the source task's
    validation split. Raises DivergedError, UndefinedScoreError and NoDeviceError.
    """
    device = spec.pretraining.training.device if spec.pretraining else "cpu"
    # A signal ends the process at once, while it waits too: it has no state to leave.
    with leased(device, Interruption()):
        seed_global(spec.seed, weights_stream(spec.name))
        model = LinearStack(spec.layers)
        reached = _pretrain(model, spec, tasks) if spec.pretraining else None
        with atomic_path(folder / WEIGHTS_FILE) as path:
            write_tensors(model.state_dict(), path)
    return reached


def _pretrain(model: torch.nn.Module, spec: Network, tasks: Path) -> dict[str, JsonValue]:
    pretraining = spec.pretraining
    if pretraining is None:
        raise ValueError(f"{spec.name} has no pretraining")
    training, seed = pretraining.training, pretraining.seed
    make_deterministic(training.threads, training.device)
    source = tasks / pretraining.task.key
    task = PreparedTask.read(source / MANIFEST_FILE)
    splits = load_examples(source, task, source, training.max_length)
    seed_global(seed, pretraining_stream(spec.name, "dropout"))
    trainer = Trainer(model.to(training.device), task, splits, training, log=lambda event: None)
    best = trainer.train(generator(seed, pretraining_stream(spec.name, "order"))).best
    scores: dict[str, JsonValue] = {name: score.value for name, score in best.scores.items()}
    return {"task": task.key, "validation": scores, "n": len(splits["validation"])}
