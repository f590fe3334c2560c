"""VeRA beside peft's, from the same values, and on a part of a fused projection."""

import re
from typing import Any

import pytest
import torch
from peft import VeraConfig, get_peft_model
from torch import nn

from finegrid.models.layers import linear_layers
from methods.injection import added
from tests.methods.architectures import inputs, tiny
from tests.methods.reference import applied, assert_agree, train_head

RANK = 5


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
    train_head(plain)
    wrapped: nn.Module = model
    return wrapped


@pytest.mark.parametrize("model_type", ["bert", "roberta", "llama"])
def test_ten_steps_agree_with_peft(model_type: str) -> None:
    """On layers that are not all of one size."""
    targets = ["q", "v", "up", "down"]
    model = applied("vera", model_type, rank=RANK, targets=targets)
    reference = theirs(model_type, targets, added(model, "vera"))
    assert_agree(model, reference, inputs(model_type), learning_rate=1e-2, tolerance=1e-5)


@torch.no_grad()
def test_a_part_of_a_fused_projection_is_changed_alone() -> None:
    """Kopiczko et al. 2023, equation 2, for the values of one layer; queries and keys stay."""
    model, plain = applied("vera", "gpt2", rank=RANK, targets=["v"]), tiny("gpt2")
    (layer, _), (base, _) = (list(linear_layers(m, ("v",))) for m in (model, plain))
    vectors, shared = added(layer.module, "vera_v"), dict(added(model, "vera").named_buffers())
    vectors["b"].normal_(generator=torch.Generator().manual_seed(3))
    x = torch.randn(7, 64, generator=torch.Generator().manual_seed(4))
    update = x @ shared["A"].T * vectors["d"] @ shared["B"].T * vectors["b"]
    expected = base.module(x)
    expected[:, 128:] += update
    torch.testing.assert_close(layer.module(x), expected, atol=1e-5, rtol=0)
    assert update.abs().max() > 0.1
