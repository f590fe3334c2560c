"""Small changes of what is trained, in bf16: a product is rounded, and not a factor beforehand.

Training moves a factor that starts from one in steps far below the 0.0078 that bf16 has there.
"""

from typing import Any

import pytest
import torch
from torch import nn

from methods.parameters import trainable_state
from methods.registry import METHODS, training_methods
from tests.methods.architectures import anatomy, inputs, tiny

STEP = 1.003
DRAWS = (2, 3, 4)
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "adapter": [
        {"size": 8, "layer_norm": True, "placement": placement}
        for placement in ("houlsby", "pfeiffer", "parallel")
    ],
    "bitfit": [{}, {"added_to": ["all"]}],
    "lg": [{"rank": 4}, {"rank": 4, "residual": False}, {"rank": 4, "start": "gaussian"}],
    "lora": [{}, {"rank_stabilised": True, "alpha": 2.0}],
    "vera": [{"rank": 16, "targets": ["all"]}],
}
BRIDGED = ("peft:ia3", "peft:vera")
"""The references of what others do."""
EXEMPT = ("prefix", "combine", "p-tuning")
"""A prefix's keys and values are rounded as those of the sequence are, for one attention over both,
and so is that of a combination, whose other parts are seen alone. The encoder of p-tuning computes
in fp32; so little of its change reaches the prompt that the base's own rounding hides it."""
SCALE_FREE = {"loreft": ("V",)}
"""Tensors whose rows are made orthonormal, so that no factor changes anything."""
CASES = [
    (name, model_type, settings)
    for name in training_methods()
    if name not in EXEMPT and (":" not in name or name in BRIDGED)
    for settings in SETTINGS.get(name, [{}])
    for model_type in ("bert", "gpt2", "llama")
    if METHODS.build(name, settings).not_applicable(anatomy(model_type)) is None
]


def kinds(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The trained tensors below the head, by the last part of their names."""
    found: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not name.startswith(("classifier", "score")):
            found.setdefault(name.split(".")[-1], []).append(parameter)
    return found


@torch.no_grad()
def changes(model: Any, model_type: str, parameters: list[nn.Parameter], bf16: bool) -> Any:
    """How the last hidden states change as the parameters grow by the step."""
    outputs = []
    for factor in (1.0, STEP):
        kept = [parameter.clone() for parameter in parameters]
        for parameter in parameters:
            parameter.mul_(factor)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found = model(**inputs(model_type), output_hidden_states=True)
        outputs.append(found.hidden_states[-1].double().flatten())
        for parameter, old in zip(parameters, kept, strict=True):
            parameter.copy_(old)
    return outputs[1] - outputs[0]


@pytest.mark.parametrize(("name", "model_type", "settings"), CASES)
def test_a_small_change_of_what_is_trained_is_seen_in_bf16(
    name: str, model_type: str, settings: dict[str, Any]
) -> None:
    """By its projection on the change in fp32, as each single output is rounded.

    Of a few draws together: rounding moves the projection of one by as much as itself.
    """
    moved: dict[str, list[torch.Tensor]] = {}
    for seed in DRAWS:
        model = tiny(model_type)
        draw = torch.Generator().manual_seed(seed)
        METHODS.build(name, settings).apply(model, draw)
        for parameter in trainable_state(model).values():
            if not parameter.any():  # what starts from zero hides the rest
                parameter.normal_(std=0.5, generator=draw)
        for kind, parameters in kinds(model).items():
            if kind in SCALE_FREE.get(name, ()):
                continue
            exact = changes(model, model_type, parameters, bf16=False)
            rounded = changes(model, model_type, parameters, bf16=True)
            pair = torch.stack([rounded @ exact, exact @ exact])
            moved.setdefault(kind, []).append(pair)
    for kind, pairs in moved.items():
        projected, whole = torch.stack(pairs).sum(dim=0)
        assert 0.3 < projected / whole < 3, kind
