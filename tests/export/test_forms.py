"""What was trained, under peft: the same outputs, loaded again from a folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import nn

from finegrid.export.folders import adapted
from methods.contract import Method
from methods.peft_form import NoPeftFormError
from methods.registry import METHODS
from tests.methods.architectures import inputs, logits, tiny

LOADER = "AutoModelForSequenceClassification"
FORMS: list[tuple[str, str, dict[str, Any]]] = [
    ("lora", "bert", {"rank": 2, "targets": ["all"]}),
    ("lora", "gpt2", {"rank": 3, "alpha": 5.0, "targets": ["q", "v", "down"]}),
    ("lora", "gpt2", {"rank": 3, "rank_stabilised": True, "targets": ["all"]}),
    ("lora", "llama", {"rank": 2, "targets": ["q", "v"]}),
    ("lg", "bert", {"rank": 2, "targets": ["q", "down"]}),
    ("lg", "gpt2", {"rank": 3, "start": "gaussian", "targets": ["q", "v"]}),
    ("ia3", "bert", {}),
    ("ia3", "gpt2", {}),
    ("vera", "bert", {"rank": 4, "targets": ["all"]}),
    ("layernorm", "bert", {}),
    ("layernorm", "llama", {}),
    ("prompt", "bert", {"length": 3}),
    ("p-tuning", "bert", {"length": 3, "hidden": 5}),
    ("peft:hra", "bert", {}),
    ("peft:lora", "gpt2", {"config": {"r": 2}}),
    ("peft:vera", "llama", {"config": {"r": 4}}),
    ("peft:ia3", "bert", {}),
    ("peft:lora", "bert", {"config": {"r": 2, "init_lora_weights": "pissa"}}),
    ("peft:lora", "llama", {"config": {"r": 2, "init_lora_weights": "pissa_niter_4"}}),
    ("peft:lora", "bert", {"config": {"r": 2, "init_lora_weights": "olora", "use_rslora": True}}),
    ("peft:dora", "bert", {"config": {"r": 2}}),
    ("peft:adalora", "gpt2", {"config": {"init_r": 4, "target_r": 2}}),
]


def trained(name: str, model_type: str, settings: dict[str, Any]) -> tuple[Method, nn.Module]:
    """The tiny model, all that the method and the head train moved from where it starts."""
    model, method = tiny(model_type), METHODS.build(name, settings)
    method.apply(model, torch.Generator().manual_seed(2))
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.1)
    return method, model


@pytest.mark.parametrize(("name", "model_type", "settings"), FORMS)
def test_the_adapter_says_what_the_model_says(
    name: str, model_type: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    method, model = trained(name, model_type, settings)
    method.finish(model)
    adapter = adapted(tiny(model_type), model, method, LOADER)
    adapter.save_pretrained(tmp_path, save_embedding_layers=False)
    loaded = PeftModel.from_pretrained(tiny(model_type), str(tmp_path)).eval()
    with torch.no_grad():
        expected, found = model.eval()(**inputs(model_type)).logits, logits(loaded, model_type)
        start = logits(tiny(model_type), model_type)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, start, atol=1e-2)


def test_a_start_in_the_base_is_exported_beside_the_base_as_it_was(tmp_path: Path) -> None:
    """Twice the rank, and nothing that loading would have to draw: W + s (B A - B_0 A_0)."""
    settings: dict[str, Any] = {"config": {"r": 2, "init_lora_weights": "pissa"}}
    method, model = trained("peft:lora", "bert", settings)
    adapter = adapted(tiny("bert"), model, method, LOADER)
    adapter.save_pretrained(tmp_path, save_embedding_layers=False)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (4, 16, True)
    path = "bert.encoder.layer.0.attention.self.query"
    base: Any = tiny("bert").get_submodule(path)
    own: Any = model.get_submodule(path)
    frozen, update = own.base_layer.weight, own.get_delta_weight("default")
    assert not torch.allclose(frozen, base.weight, atol=1e-3)
    loaded = PeftModel.from_pretrained(tiny("bert"), str(tmp_path))
    layer: Any = loaded.get_submodule(f"base_model.model.{path}")
    torch.testing.assert_close(layer.base_layer.weight, base.weight, atol=0, rtol=0)
    whole = base.weight + layer.get_delta_weight("default")
    torch.testing.assert_close(whole, frozen + update, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "model_type", "settings", "reason"),
    [
        ("bitfit", "bert", {}, "no such type"),
        ("full", "bert", {}, "no such type"),
        ("adapter", "bert", {"size": 3}, "no such type"),
        ("prefix", "bert", {"length": 3}, "later positions"),
        ("prompt", "t5", {"length": 3}, "takes no embeddings"),
        ("prompt", "llama", {"length": 3}, "and peft's the prompt's too"),
        ("lg", "bert", {"rank": 2, "residual": False}, "takes the place of W"),
        ("peft:dora", "bert", {"config": {"r": 2, "init_lora_weights": "pissa"}}, "no sum"),
        ("vera", "gpt2", {"rank": 4}, "holds several roles"),
    ],
)
def test_what_peft_has_not_is_said(
    name: str, model_type: str, settings: dict[str, Any], reason: str
) -> None:
    method, model = trained(name, model_type, settings)
    with pytest.raises(NoPeftFormError, match=reason):
        method.peft_form(model)
