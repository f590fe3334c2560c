"""A prepared base model, loaded with a fresh head for a task."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from methods.contract import head_modules
from records.identity import file_sha256
from records.prepared import PreparedModel, PreparedTask
from records.specification import Network
from training.network import LinearStack
from training.seeds import seed_global

WEIGHTS_FILE = "model.safetensors"


class CorruptedFileError(Exception):
    """A prepared file is not the one that the manifest names."""


def check_files(folder: Path, files: dict[str, str]) -> None:
    """Compare every file with its recorded hash. Raises CorruptedFileError with both hashes."""
    for name, expected in files.items():
        found = file_sha256(folder / name)
        if found != expected:
            raise CorruptedFileError(f"{folder / name}: sha256 {found}, recorded {expected}")


def load_model(
    folder: Path, prepared: PreparedModel, task: PreparedTask, seed: int, dropout: float | None
) -> nn.Module:
    """The base model with its pretrained weights and a head drawn by the run's seed."""
    check_files(folder, prepared.files)
    seed_global(seed, "initialisation")
    if isinstance(prepared.spec, Network):
        return _load_network(folder, prepared.spec)
    return _load_transformer(folder, len(task.labels) or 1, dropout)


def _load_network(folder: Path, spec: Network) -> nn.Module:
    model = LinearStack(spec.layers)
    state = load_file(folder / WEIGHTS_FILE)
    body = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
    model.load_state_dict(body | {f"head.{k}": v for k, v in model.head.state_dict().items()})
    return model


def _load_transformer(folder: Path, outputs: int, dropout: float | None) -> nn.Module:
    from transformers import AutoConfig, AutoModelForSequenceClassification, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(folder, num_labels=outputs)
    if dropout is not None:
        _override_dropout(config, dropout)
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="sdpa"
    )
    return model


def _override_dropout(config: Any, dropout: float) -> None:
    for key, value in config.to_dict().items():
        if "dropout" in key and isinstance(value, int | float):
            setattr(config, key, dropout)


def base_sha256(model: nn.Module) -> str:
    """Hash of names and bytes of all weights but the head's, as they stand in memory."""
    heads = {id(p) for module in head_modules(model) for p in module.parameters()}
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if id(parameter) not in heads:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
