"""A prepared base model, loaded with a fresh head for a task."""

import hashlib
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from methods.contract import head_parameters
from records.base import Record
from records.identity import file_sha256
from records.prepared import MANIFEST_FILE, PreparedModel, PreparedTask
from records.specification import Network
from training.network import LinearStack
from training.seeds import seed_global

WEIGHTS_FILE = "model.safetensors"
R = TypeVar("R", bound=Record)


class CorruptedFileError(Exception):
    """A prepared file is not the one that the manifest names, or the manifest is none."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.folder = path.parent


def read_manifest(kind: type[R], folder: Path) -> R:
    """The manifest in a prepared folder. Raises CorruptedFileError where it is none, or OSError."""
    try:
        return kind.read(folder / MANIFEST_FILE)
    except ValidationError as error:
        raise CorruptedFileError(folder / MANIFEST_FILE, str(error)) from error


def check_files(folder: Path, files: dict[str, str]) -> None:
    """Compare every file with its recorded hash. Raises CorruptedFileError with both hashes."""
    for name, expected in files.items():
        found = file_sha256(folder / name)
        if found != expected:
            raise CorruptedFileError(folder / name, f"sha256 {found}, recorded {expected}")


def _check_complete(folder: Path, files: dict[str, str]) -> None:
    """Refuse files beside those of the manifest: transformers would find and load some of them.

    It looks for none that is hidden, as those are that file systems leave.
    """
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if unknown := names - {*files, MANIFEST_FILE}:
        raise CorruptedFileError(folder / min(unknown), f"{MANIFEST_FILE} does not name it")


def load_model(
    folder: Path, prepared: PreparedModel, task: PreparedTask, seed: int, dropout: float | None
) -> nn.Module:
    """The base model with its pretrained weights and a head drawn by the run's seed.

    Raises CorruptedFileError for a file that has changed, or that the manifest does not name.
    """
    check_files(folder, prepared.files)
    _check_complete(folder, prepared.files)
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
    config = AutoConfig.from_pretrained(
        folder, num_labels=outputs, trust_remote_code=False, local_files_only=True
    )
    if dropout is not None:
        override_dropout(config, dropout)
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        attn_implementation="sdpa",
        trust_remote_code=False,
        use_safetensors=True,
        local_files_only=True,
    )
    return model


def override_dropout(config: Any, dropout: float) -> None:
    """Set every dropout of a transformers configuration."""
    for key, value in config.to_dict().items():
        if "dropout" in key and isinstance(value, int | float):
            setattr(config, key, dropout)


def base_sha256(model: nn.Module) -> str:
    """Hash of names and bytes of all weights but the head's, as they stand in memory."""
    heads = {id(parameter) for parameter in head_parameters(model)}
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if id(parameter) not in heads:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
