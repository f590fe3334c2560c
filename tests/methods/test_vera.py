"""VeRA beside peft's, from the same values, and on a part of a fused projection."""

import re
from typing import Any

import pytest
import torch
from peft import VeraConfig, get_peft_model
from torch import nn
from torch.nn import functional

from methods.contract import head_modules
from methods.injection import added
from methods.layers import linear_layers
from methods.registry import METHODS
from tests.methods.architectures import inputs, labels, tiny

RANK = 5


def ours(model_type: str, targets: list[str]) -> nn.Module:
    model = tiny(model_type)
    settings: dict[str, Any] = {"rank": RANK, "targets": targets}
    METHODS.build("vera", settings).apply(model, torch.Generator().manual_seed(2))
    return model


def theirs(model_type: str, targets: list[str], shared: Any) -> nn.Module:
    """The model under peft, with our A and B and a trained head."""
    plain = tiny(model_type)
    chosen = {layer.module for layer in linear_layers(plain, tuple(targets))}
    paths = [name for name, module in plain.named_modules() if module in chosen]
    config = VeraConfig(r=RANK, target_modules="|".join(map(re.escape, paths)))
    model: Any = get_peft_model(plain, config)
    for layer in (m for m in model.modules() if hasattr(m, "vera_lambda_b")):
        layer.vera_A["default"].copy_(shared.A)
        layer.vera_B["default"].copy_(shared.B)
    for module in head_modules(plain):
        module.requires_grad_(requires_grad=True)
    wrapped: nn.Module = model
    return wrapped


def losses(model: nn.Module, batch: dict[str, torch.Tensor]) -> list[float]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    found = []
    for _ in range(10):
        loss = functional.cross_entropy(model(**batch).logits, labels())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("model_type", ["bert", "roberta", "llama"])
def test_ten_steps_agree_with_peft(model_type: str) -> None:
    """On layers that are not all of one size."""
    model = ours(model_type, ["q", "v", "up", "down"])
    reference = theirs(model_type, ["q", "v", "up", "down"], added(model, "vera"))
    sizes = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (model, reference)]
    assert sizes[0] == sizes[1]
    batch = inputs(model_type)
    found, expected = losses(model, batch), losses(reference, batch)
    assert found == pytest.approx(expected, abs=1e-5)
    assert expected[-1] < expected[0] - 1e-3
    torch.testing.assert_close(model(**batch).logits, reference(**batch).logits, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_part_of_a_fused_projection_is_changed_alone() -> None:
    """Kopiczko et al. 2023, equation 2, for the values of one layer; queries and keys stay."""
    model, plain = ours("gpt2", ["v"]), tiny("gpt2")
    (layer, _), (base, _) = (list(linear_layers(m, ("v",))) for m in (model, plain))
    vectors, shared = added(layer.module, "vera_v"), dict(added(model, "vera").named_buffers())
    vectors["b"].normal_(generator=torch.Generator().manual_seed(3))
    x = torch.randn(7, 64, generator=torch.Generator().manual_seed(4))
    update = x @ shared["A"].T * vectors["d"] @ shared["B"].T * vectors["b"]
    expected = base.module(x)
    expected[:, 128:] += update
    torch.testing.assert_close(layer.module(x), expected, atol=1e-5, rtol=0)
    assert update.abs().max() > 0.1
