"""The cases on which every registered method is tested: settings, architectures, and models.

A new method is tested with its default settings as soon as it is registered; `SETTINGS` adds more
settings, one line each. A new architecture is one line in `tests/methods/architectures.py`. The
many types of a bridge to another library are tested on the architectures of `BRIDGED`.
"""

from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from methods.contract import Method
from methods.parameters import (
    trainable_state,
)
from methods.registry import METHODS, training_methods
from tests.methods.architectures import TINY, anatomy, labels, logits, tiny

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "lora": [
        {"rank": 2, "targets": ["q", "k", "v", "o", "up", "down"]},
        {"rank": 3, "rank_stabilised": True, "targets": ["all"]},
        {"rank": 4, "alpha": 2.0, "dropout": 0.1, "targets": ["linear"]},
        {"rank": 4, "freeze_a": True, "targets": ["all"]},
    ],
    "adapter": [
        {"size": 3, "activation": "relu", "placement": "linear"},
        {"size": 3, "placement": "pfeiffer", "bias": False},
        {"size": 3, "placement": "parallel", "activation": "tanh"},
        {"size": 3, "placement": "attention"},
        {"size": 3, "placement": "parallel", "layer_norm": True},
        {"size": 3, "placement": "linear", "layer_norm": True, "bias": False},
    ],
    "full": [{"top_blocks": 1}],
    "vera": [{"rank": 4, "targets": ["all"]}, {"rank": 80, "initial": 0.5, "targets": ["all"]}],
    "prompt": [{"length": 3, "initial_std": 0.5}],
    "p-tuning": [
        {"length": 3, "hidden": 5, "initial_std": 0.5},
        {"length": 3, "encoder": "mlp", "initial_std": 0.5},
    ],
    "prefix": [{"length": 3}, {"length": 3, "reparametrisation": 5, "initial_std": 0.5}],
    "ia3": [{"outputs": ["linear"], "inputs": []}, {"outputs": ["q", "v"], "inputs": ["o"]}],
    "bitfit": [{"added_to": ["q", "v", "down"]}, {"added_to": ["all"]}],
    "combine": [
        {"parts": {"ranks": {"method": "lora"}, "biases": {"method": "bitfit"}}},
        {
            "parts": {
                "ranks": {"method": "lora", "settings": {"rank": 2, "targets": ["o", "up"]}},
                "factors": {"method": "ia3"},
            }
        },
        {
            "parts": {
                "ranks": {"method": "lora", "settings": {"rank": 2, "targets": ["linear"]}},
                "biases": {"method": "bitfit"},
            }
        },
    ],
    "lg": [
        {"rank": 2, "targets": ["all"]},
        {"rank": 2, "start": "gaussian", "targets": ["all"]},
        {"rank": 2, "residual": False, "targets": ["all"]},
    ],
    "loreft": [
        {"rank": 2, "prefix_positions": 2, "suffix_positions": 1},
        {"rank": 64, "prefix_positions": 1, "suffix_positions": 4, "tied": True},
    ],
}
STAND_INS: dict[str, dict[str, Any]] = {
    "combine": {
        "parts": {
            "prefix": {"method": "prefix", "settings": {"length": 3}},
            "feed-forward": {
                "method": "adapter",
                "settings": {"size": 3, "placement": "parallel"},
            },
        }
    },
    "peft:c3a": {"config": {"block_size": 32}},
    "peft:glora": {"config": {"config_D_E": "none"}},  # D scales biases, which are zero here
    "peft:miss": {"config": {"r": 4}},
    "peft:psoft": {"config": {"r": 4}},
    "peft:road": {"config": {"group_size": 32}},
    "peft:shira": {"config": {"r": 2, "random_seed": 0}},
    "peft:trainable_tokens": {"config": {"token_indices": [2, 12, 17]}},
    "peft:vblora": {"config": {"vector_length": 32}},
    "peft:waveft": {"config": {"n_frequency": 100}},
}
"""In place of the defaults where those are too large for the tiny models."""
BRIDGED = ("bert", "gpt2", "linear-stack", "llama")
"""Plain layers in a transformer, fused and transposed ones, a stack, and keys in groups."""
ROUNDED_MERGES = {"peft:c3a": 1e-6, "peft:deft": 1e-6}
"""Methods that merge in single precision -> the tolerance."""


def architectures(name: str) -> tuple[str, ...]:
    """Where the method is tested."""
    return BRIDGED if ":" in name else tuple(TINY)


def settings_of(name: str) -> list[dict[str, Any]]:
    """The method's defaults, the settings above, and for a bridged one those for a stack."""
    default = STAND_INS.get(name, {})
    own = {field.name for field in fields(METHODS.get(name))}  # type: ignore[arg-type]  # a dataclass
    on_stack = {
        key: value for key, value in (("targets", ["linear"]), ("inputs", [])) if key in own
    }
    bridged = ":" in name and "targets" in own
    return [default, *SETTINGS.get(name, []), *([default | on_stack] if bridged else [])]


@dataclass(frozen=True)
class Case:
    """A method with settings on an architecture."""

    name: str
    model_type: str
    settings: dict[str, Any] = field(hash=False)

    def __str__(self) -> str:
        values = "-".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{self.model_type}-{self.name}" + (f"-{values}" if values else "")

    @property
    def method_key(self) -> str:
        """The method with its settings; of a bridge, the type alone."""
        return self.name if ":" in self.name else self.settings_key

    @property
    def settings_key(self) -> str:
        """The method with its settings."""
        return f"{self.name} {sorted(self.settings.items())}"

    @property
    def family(self) -> str:
        """The method; of a bridge, the class that stands for many of its types."""
        return type(self.method).__bases__[0].__name__ if ":" in self.name else self.name

    @property
    def code_key(self) -> str:
        """The method with its settings; of a bridge, the class that stands for its types."""
        return self.family if ":" in self.name else self.settings_key

    @property
    def method(self) -> Method:
        """The method, built as a run builds it."""
        return METHODS.build(self.name, self.settings)

    @property
    def reason(self) -> str | None:
        """Why the method does not fit the model, in its own words."""
        return self.method.not_applicable(anatomy(self.model_type))

    def applied(self, seed: int = 3) -> nn.Module:
        """The tiny model with the method applied."""
        model = tiny(self.model_type)
        self.method.apply(model, torch.Generator().manual_seed(seed))
        return model

    def trained(self) -> nn.Module:
        """The model after a few steps, back in evaluation mode; they are made once a session."""
        model = self.applied()
        if self in _TRAINED:
            model.load_state_dict(_TRAINED[self], strict=False)
        else:
            train(model, self.model_type, 3)
            _TRAINED[self] = {name: t.clone() for name, t in trainable_state(model).items()}
        return model.eval()


_TRAINED: dict[Case, dict[str, torch.Tensor]] = {}


MATRIX = [
    Case(name, model_type, settings)
    for name in training_methods()
    for settings in settings_of(name)
    for model_type in architectures(name)
]
FITTING = tuple(case for case in MATRIX if case.reason is None)
CHECKPOINTED = {name for name in TINY if hasattr(tiny(name), "gradient_checkpointing_enable")}


def train(model: nn.Module, model_type: str, count: int) -> list[dict[str, torch.Tensor]]:
    """Steps of Adam on one batch; the gradients of each."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    gradients = []
    for _ in range(count):
        gradients.append(gradients_of(model, model_type))
        optimizer.step()
    return gradients


def gradients_of(model: nn.Module, model_type: str) -> dict[str, torch.Tensor]:
    """Those of the loss on the batch, which stay in the parameters as well."""
    model.zero_grad()
    functional.cross_entropy(logits(model, model_type), labels()).backward()  # type: ignore[no-untyped-call]
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
