"""LoRA beside the reference implementation, from the same initial values."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from pydantic import TypeAdapter
from torch import nn

from finegrid.models.layers import linear_layers
from methods.injection import added
from methods.registry import METHODS
from tests.methods.architectures import inputs, tiny
from tests.methods.reference import applied, assert_agree, train_head

RANK, ALPHA = 4, 6.0


def reference(ours: nn.Module, model_type: str, rank_stabilised: bool) -> nn.Module:
    """The model under peft, with our A, our B and a trained head."""
    targets = ["query", "value"]
    config = LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules=targets, use_rslora=rank_stabilised
    )
    model = inject_adapter_in_model(config, tiny(model_type))
    layers = [m for m in model.modules() if type(m).__name__ == "Linear" and hasattr(m, "lora_A")]
    changed = [layer.module for layer in linear_layers(ours, ("q", "v"))]
    assert len(layers) == len(changed) == 4
    by_name = {name: layer for name, layer in ours.named_modules() if layer in changed}
    with torch.no_grad():
        for name, layer in by_name.items():
            theirs = model.get_submodule(name)
            factors: Any = added(layer, "lora")
            theirs.lora_A["default"].weight.copy_(factors.A)
            theirs.lora_B["default"].weight.copy_(factors.B)
    train_head(model)
    trained: nn.Module = model
    return trained


@pytest.mark.parametrize("rank_stabilised", [False, True])
@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_ten_steps_agree_with_peft(model_type: str, rank_stabilised: bool) -> None:
    """The scale is alpha / r, or alpha / sqrt(r)."""
    ours = applied("lora", model_type, rank=RANK, alpha=ALPHA, rank_stabilised=rank_stabilised)
    assert_agree(ours, reference(ours, model_type, rank_stabilised), inputs(model_type))


def test_ten_steps_with_a_as_it_was_drawn_agree_with_peft() -> None:
    """LoRA-FA: under peft, A is told not to learn."""
    ours = applied("lora", "bert", rank=RANK, alpha=ALPHA, freeze_a=True)
    theirs = reference(ours, "bert", rank_stabilised=False)
    for name, parameter in theirs.named_parameters():
        if "lora_A" in name:
            parameter.requires_grad = False
    assert_agree(ours, theirs, inputs("bert"))


def test_a_run_that_trains_a_has_the_settings_that_it_had() -> None:
    """A key of the default would give every earlier run of the method another name."""
    plain, frozen = (METHODS.build("lora", {"freeze_a": freezes}) for freezes in (False, True))
    names = [set(TypeAdapter(type(plain)).dump_python(one)) for one in (plain, frozen)]
    assert names[1] - names[0] == {"freeze_a"}
    assert (plain.trained_groups, frozen.trained_groups) == (("A", "B"), ("B",))
