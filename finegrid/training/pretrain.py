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
from finegrid.records.damage import read_manifest
from finegrid.records.prepared import PreparedTask, SplitName
from finegrid.records.specification import Network
from finegrid.records.weights import WEIGHTS_FILE
from finegrid.records.write import atomic_path
from finegrid.training.data import load_examples
from finegrid.training.encoding import encoded_folder, encoding_of
from finegrid.training.loop import Trainer
from finegrid.training.processes.devices import leased
from finegrid.training.processes.signals import Interruption
from finegrid.training.state.tensors import write_tensors
from kinds.registry import kind_named


def make_network(spec: Network, prepared: Path, folder: Path) -> dict[str, JsonValue] | None:
    """Write the network's weights to `folder`, trained in full on its source task if it has one.

    `prepared` holds the source task, prepared and encoded. Returns what pretraining reached on the
    source task's validation split. Raises DivergedError, CorruptedFileError, UndefinedScoreError
    and NoDeviceError.
    """
    device = spec.pretraining.training.device if spec.pretraining else "cpu"
    # A signal ends the process at once, while it waits too: it has no state to leave.
    with leased(device, Interruption()):
        seed_global(spec.seed, weights_stream(spec.name))
        model = LinearStack(spec.layers)
        reached = _pretrain(model, spec, prepared) if spec.pretraining else None
        with atomic_path(folder / WEIGHTS_FILE) as path:
            write_tensors(model.state_dict(), path)
    return reached


def _pretrain(model: torch.nn.Module, spec: Network, prepared: Path) -> dict[str, JsonValue]:
    pretraining = spec.pretraining
    if pretraining is None:
        raise ValueError(f"{spec.name} has no pretraining")
    training, seed = pretraining.training, pretraining.seed
    make_deterministic(training.threads, training.device)
    source = prepared / "tasks" / pretraining.task.key
    task = read_manifest(PreparedTask, source)
    kind = kind_named(task.kind, task.kind_options)
    encoding = encoding_of(kind, pretraining.task, spec, training.max_length)
    names: tuple[SplitName, ...] = ("train", "validation")
    splits = load_examples(encoded_folder(prepared, encoding), task, source, names)
    seed_global(seed, pretraining_stream(spec.name, "dropout"))
    trainer = Trainer(model.to(training.device), task, splits, training, log=lambda event: None)
    best = trainer.train(generator(seed, pretraining_stream(spec.name, "order"))).best
    scores: dict[str, JsonValue] = {name: score.value for name, score in best.scores.items()}
    return {"task": task.key, "validation": scores, "n": len(splits["validation"])}
