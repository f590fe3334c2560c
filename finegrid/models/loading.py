"""A prepared base model, loaded with a fresh head for a task."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from finegrid.models.head import head_parameters
from finegrid.models.network import LinearStack
from finegrid.models.padding import set_padding
from finegrid.models.precision import add_unread, hold
from finegrid.models.pretrained import (
    check_body,
    check_head,
    draw_head,
    listen,
    read_weights,
    unread_weights,
)
from finegrid.models.quantised import QuantisedLinear, numbers, quantise
from finegrid.models.seeds import seed_global
from finegrid.records.damage import check_complete, check_files
from finegrid.records.labels import kept_head_problem
from finegrid.records.prepared import PreparedModel, PreparedTask
from finegrid.records.specification import keeps_head
from finegrid.records.training import Weights
from finegrid.records.weights import WEIGHTS_FILE, WeightsError


def load_model(
    folder: Path,
    prepared: PreparedModel,
    task: PreparedTask,
    loader: str | None,
    configured: Mapping[str, Any],
    seed: int,
    dropout: float | None,
    weights: Weights = "fp32",
    *,
    double: bool = False,
) -> nn.Module:
    """The base model with its pretrained weights and a head drawn by the run's seed.

    `loader` names the auto class of a model of transformers, None for a plain stack alone;
    `configured` is what the configuration has to say for the task, such as the width of the head;
    `weights` is how the base is held, beside a head in fp32, `double` whether its constants are
    quantised too. The head is the checkpoint's where the
    model says `head: keep`. Raises CorruptedFileError for a file that has changed, or that the
    manifest does not name, and WeightsError for weights that do not fit the model, or a head that
    is to be kept and does not fit the task.
    """
    check_files(folder, prepared.files)
    check_complete(folder, prepared.files)
    if prepared.spec.widths is not None:
        model = _load_network(folder, prepared.spec.widths, weights)
    elif loader is None:
        raise WeightsError(f"kind {task.kind} is for plain stacks; {prepared.key} is none")
    else:
        labels = task.labels
        model = _load_transformer(folder, prepared, labels, loader, configured, dropout, weights)
    if not keeps_head(prepared.spec):
        seed_global(seed, "head")
        draw_head(model)
    quantise(model, weights, double=double)
    return model


def blank_model(
    folder: Path,
    prepared: PreparedModel,
    loader: str | None,
    configured: Mapping[str, Any],
    dropout: float | None,
    weights: Weights = "fp32",
    *,
    double: bool = False,
) -> nn.Module:
    """The model that `load_model` gives, but for its numbers: it is on the meta device.

    Of the folder, which has to be checked, the configuration is read and no weight.
    """
    if prepared.spec.widths is not None:
        with torch.device("meta"):
            model: nn.Module = LinearStack(prepared.spec.widths)
        hold(model, weights)
        quantise(model, weights, double=double)
        return model
    if loader is None:
        raise WeightsError(f"{prepared.key} is no plain stack, as the kind of its task wants one")
    config = _configuration(folder, configured, dropout)
    model = unread_weights(config, loader, prepared.spec.pooling, weights)
    add_unread(model, prepared.drawn_modules)
    quantise(model, weights, double=double)
    return model


def _load_network(folder: Path, widths: tuple[int, ...], weights: Weights) -> nn.Module:
    model = LinearStack(widths)
    model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    hold(model, weights)
    return model


def _load_transformer(
    folder: Path,
    prepared: PreparedModel,
    labels: Sequence[str],
    loader: str,
    configured: Mapping[str, Any],
    dropout: float | None,
    weights: Weights,
) -> nn.Module:
    if keeps_head(prepared.spec):
        stored, width = _stored_configuration(folder).to_dict(), configured["num_labels"]
        if problem := kept_head_problem(stored, labels, width):
            raise WeightsError(f"head: keep: {problem}")
    config = _configuration(folder, configured, dropout)
    model, report = read_weights(folder, config, loader, prepared.spec.pooling, weights)
    add_unread(model, prepared.drawn_modules)
    check_body(model, report)
    if keeps_head(prepared.spec):
        check_head(model, report)
    return model


def _configuration(folder: Path, configured: Mapping[str, Any], dropout: float | None) -> Any:
    """The stored configuration, with what the task and the run have to say."""
    config = _stored_configuration(folder)
    # Set here, as the library refuses a number that does not go with what a classifier has stored.
    for key, value in configured.items():
        setattr(config, key, value)
    set_padding(config, folder)
    if dropout is not None:
        override_dropout(config, dropout)
    return config


def _stored_configuration(folder: Path) -> Any:
    from transformers import AutoConfig

    listen()
    return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def override_dropout(config: Any, dropout: float) -> None:
    """Set every dropout of a transformers configuration, whatever its name.

    Layer drop, which leaves out whole layers, is none.
    """
    for key, value in config.to_dict().items():
        if ("dropout" in key or key.endswith("pdrop")) and type(value) in (int, float, type(None)):
            setattr(config, key, dropout)


def base_sha256(model: nn.Module) -> str:
    """Hash of names and numbers of all weights but the head's, as they stand in memory.

    The numbers are hashed in fp32, which has all of a half type: a base is the same however it is
    held, as long as nothing of it was rounded. Quantised ones are de-quantised for it.
    """
    heads = {id(parameter) for parameter in head_parameters(model)}
    digest = hashlib.sha256()
    for name, held in numbers(model):
        if id(held) not in heads:
            tensor = held.weight if isinstance(held, QuantisedLinear) else held
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
