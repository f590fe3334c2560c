"""Tiny checkpoints as a class of the library saves them, to be changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from finegrid.records.weights import WEIGHTS_FILE
from tests.methods.architectures import tiny

LOADER = "AutoModelForSequenceClassification"


def config_of(model_type: str, **changes: Any) -> Any:
    config: Any = tiny(model_type).config
    plain = config.to_dict() | changes
    return transformers.AutoConfig.for_model(plain.pop("model_type"), **plain)


def saved(folder: Path, model_type: str, kind: str, **changes: Any) -> nn.Module:
    """A random model of a class, saved in the folder as a checkpoint."""
    torch.manual_seed(0)
    model: Any = getattr(transformers, kind)(config_of(model_type, **changes))
    model.save_pretrained(folder)
    kept: nn.Module = model
    return kept


def rewritten(folder: Path, edit: Callable[[dict[str, torch.Tensor]], dict[str, Any]]) -> None:
    """Change the weights of a checkpoint."""
    path = folder / WEIGHTS_FILE
    state = {name: tensor.clone() for name, tensor in edit(load_file(path)).items()}
    save_file(state, path, metadata={"format": "pt"})
