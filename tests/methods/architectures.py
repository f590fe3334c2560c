"""A tiny model of every architecture, by model type. A new architecture is one line in `TINY`."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from methods.architectures import Shape, describe
from training.network import LinearStack

CLASSES = 3
_WIDTHS = (32, 64, 64, CLASSES)
_VOCABULARY, _BATCH, _LENGTH = 40, 6, 9


def transformer(model_type: str, **options: Any) -> nn.Module:
    """A transformers classifier with 64 features, two blocks and two heads."""
    sizes = {
        "vocab_size": _VOCABULARY,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 96,
        "max_position_embeddings": 32,
    }
    config = AutoConfig.for_model(model_type, num_labels=CLASSES, **(sizes | options))
    model: nn.Module = AutoModelForSequenceClassification.from_config(
        config, attn_implementation="sdpa"
    )
    return model


TINY: dict[str, Callable[[], nn.Module]] = {
    "bert": lambda: transformer("bert"),
    "roberta": lambda: transformer("roberta"),
    "linear-stack": lambda: LinearStack(_WIDTHS),
}


def tiny(model_type: str, seed: int = 0) -> nn.Module:
    """The model with weights of that seed, without dropout: in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TINY[model_type]().eval()


@cache
def shape(model_type: str) -> Shape:
    """What methods may know of the model before it is loaded."""
    config: Any = tiny(model_type).config
    return describe(config.to_dict() if hasattr(config, "to_dict") else vars(config))


def inputs(model_type: str) -> dict[str, torch.Tensor]:
    """A batch for the model, with padding where there are tokens."""
    draw = torch.Generator().manual_seed(1)
    if model_type == "linear-stack":
        return {"pixels": torch.rand(_BATCH, _WIDTHS[0], generator=draw)}
    tokens = torch.randint(3, _VOCABULARY, (_BATCH, _LENGTH), generator=draw)
    mask = torch.ones_like(tokens)
    for row in range(_BATCH):
        mask[row, _LENGTH - row :] = 0
    return {"input_ids": tokens, "attention_mask": mask}


def labels() -> torch.Tensor:
    """Classes for the batch."""
    return torch.arange(_BATCH) % CLASSES


def logits(model: nn.Module, model_type: str) -> torch.Tensor:
    """The model's output on its batch."""
    output: torch.Tensor = model(**inputs(model_type)).logits
    return output
