"""Our own methods beside peft's, from the same initial values: outputs, and ten steps' losses.

LoRA has a file of its own. Two differences of peft are met on the way: where a head reads the last
token, peft's prompt reads the last position of the batch, padding or not; and peft's prefix shifts
the positions of the tokens by its length, and no longer works on models without a cache.
"""

import re
from typing import Any

import pytest
import torch
from peft import (
    IA3Config,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model,
    inject_adapter_in_model,
)
from torch import nn
from torch.nn import functional

from methods.contract import head_modules
from methods.injection import added
from methods.registry import METHODS
from tests.methods.architectures import inputs, labels, tiny

LENGTH = 3
Batch = dict[str, torch.Tensor]


def ours(name: str, model_type: str, **settings: Any) -> nn.Module:
    model = tiny(model_type)
    METHODS.build(name, settings).apply(model, torch.Generator().manual_seed(2))
    return model


def without_padding(model_type: str) -> Batch:
    batch = inputs(model_type)
    tokens = batch["input_ids"].clamp(min=3)
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def compare(model: nn.Module, reference: nn.Module, batch: Batch, reference_batch: Batch) -> None:
    """The outputs before, ten losses of AdamW, and the outputs after."""
    sizes = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (model, reference)]
    assert sizes[0] == sizes[1]
    start = model(**batch).logits
    torch.testing.assert_close(start, reference(**reference_batch).logits, atol=1e-6, rtol=0)
    found, expected = losses(model, batch), losses(reference, reference_batch)
    assert found == pytest.approx(expected, abs=1e-6)
    assert expected[-1] < expected[0] - 1e-4
    end = model(**batch).logits
    torch.testing.assert_close(end, reference(**reference_batch).logits, atol=1e-6, rtol=0)


def losses(model: nn.Module, batch: Batch) -> list[float]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    found = []
    for _ in range(10):
        loss = functional.cross_entropy(model(**batch).logits, labels())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_ia3(model_type: str) -> None:
    pattern = r".*(self\.key|self\.value|layer\.\d+\.output\.dense)"
    plain = tiny(model_type)
    inner = [n for n, _ in plain.named_modules() if re.fullmatch(r".*\d+\.output\.dense", n)]
    config = IA3Config(target_modules=pattern, feedforward_modules=inner)
    theirs = inject_adapter_in_model(config, plain)
    for module in head_modules(theirs):
        module.requires_grad_(requires_grad=True)
    batch = inputs(model_type)
    compare(ours("ia3", model_type), theirs, batch, batch)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "gpt2", "llama", "qwen2", "qwen3"])
def test_prompt(model_type: str) -> None:
    padded = model_type in ("bert", "roberta")
    batch = inputs(model_type) if padded else without_padding(model_type)
    model = ours("prompt", model_type, length=LENGTH, initial_std=0.5)
    theirs = wrapped(PromptTuningConfig, model_type)
    with torch.no_grad():
        theirs.prompt_encoder["default"].embedding.weight.copy_(added(model, "prompt")["P"])
    compare(model, theirs, batch, batch)


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "qwen2"])
def test_prefix(model_type: str) -> None:
    """Positions are given, so that peft's shift is undone."""
    model = ours("prefix", model_type, length=LENGTH, initial_std=0.5)
    theirs, batch = wrapped(PrefixTuningConfig, model_type), inputs(model_type)
    with torch.no_grad():
        theirs.prompt_encoder["default"].embedding.weight.copy_(flat_prefix(model))
    positions = torch.arange(batch["input_ids"].shape[1])[None].expand_as(batch["input_ids"])
    compare(model, theirs, batch, batch | {"position_ids": positions - LENGTH})


def wrapped(config: Any, model_type: str) -> Any:
    """The model under peft's prompt learning, with the head that peft trains."""
    return get_peft_model(
        tiny(model_type), config(task_type="SEQ_CLS", num_virtual_tokens=LENGTH)
    ).eval()


def flat_prefix(model: nn.Module) -> torch.Tensor:
    """Our keys and values as peft has them: (length, layers x keys and values x heads x size)."""
    modules = [m for m in model.modules() if hasattr(m, "prefix")]
    parts = [added(m, "prefix")[name] for m in modules for name in ("key", "value")]
    return torch.stack(parts).permute(2, 0, 1, 3).flatten(1)
