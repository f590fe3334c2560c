"""LoRA beside the reference implementation, from the same initial values."""

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.nn import functional

from methods.contract import head_modules
from methods.injection import added
from methods.layers import linear_layers
from methods.registry import METHODS
from tests.methods.architectures import labels, logits, tiny

RANK, ALPHA = 4, 6.0
Losses = list[float]


def reference(ours: nn.Module, model_type: str) -> nn.Module:
    """The model under peft, with our A, our B and a trained head."""
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["query", "value"])
    model = inject_adapter_in_model(config, tiny(model_type))
    layers = [m for m in model.modules() if type(m).__name__ == "Linear" and hasattr(m, "lora_A")]
    targets = [layer.module for layer in linear_layers(ours, ("q", "v"))]
    assert len(layers) == len(targets) == 4
    by_name = {name: layer for name, layer in ours.named_modules() if layer in targets}
    with torch.no_grad():
        for name, layer in by_name.items():
            theirs = model.get_submodule(name)
            theirs.lora_A["default"].weight.copy_(added(layer, "lora")["A"])
            theirs.lora_B["default"].weight.copy_(added(layer, "lora")["B"])
    for module in head_modules(model):
        module.requires_grad_(requires_grad=True)
    trained: nn.Module = model
    return trained


def losses(model: nn.Module, model_type: str) -> Losses:
    """Ten steps of AdamW on one batch."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    found = []
    for _ in range(10):
        loss = functional.cross_entropy(logits(model, model_type), labels())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_ten_steps_agree_with_peft(model_type: str) -> None:
    ours = tiny(model_type)
    method = METHODS.build("lora", {"rank": RANK, "alpha": ALPHA})
    method.apply(ours, torch.Generator().manual_seed(2))
    theirs = reference(ours, model_type)
    sizes = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (ours, theirs)]
    assert sizes[0] == sizes[1]
    found, expected = losses(ours, model_type), losses(theirs, model_type)
    assert found == pytest.approx(expected, abs=1e-6)
    assert expected[-1] < expected[0] - 1e-3
    torch.testing.assert_close(
        logits(ours, model_type), logits(theirs, model_type), atol=1e-6, rtol=0
    )
