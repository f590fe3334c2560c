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

from methods.injection import added
from tests.methods.architectures import inputs, tiny
from tests.methods.reference import Batch, applied, assert_agree, train_head

LENGTH = 3


def without_padding(model_type: str) -> Batch:
    batch = inputs(model_type)
    tokens = batch["input_ids"].clamp(min=3)
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_ia3(model_type: str) -> None:
    pattern = r".*(self\.key|self\.value|layer\.\d+\.output\.dense)"
    plain = tiny(model_type)
    inner = [n for n, _ in plain.named_modules() if re.fullmatch(r".*\d+\.output\.dense", n)]
    config = IA3Config(target_modules=pattern, feedforward_modules=inner)
    theirs = inject_adapter_in_model(config, plain)
    train_head(theirs)
    assert_agree(applied("ia3", model_type), theirs, inputs(model_type))


@pytest.mark.parametrize("model_type", ["bert", "roberta", "gpt2", "llama", "qwen2", "qwen3"])
def test_prompt(model_type: str) -> None:
    padded = model_type in ("bert", "roberta")
    batch = inputs(model_type) if padded else without_padding(model_type)
    model = applied("prompt", model_type, length=LENGTH, initial_std=0.5)
    theirs = wrapped(PromptTuningConfig, model_type)
    with torch.no_grad():
        theirs.prompt_encoder["default"].embedding.weight.copy_(added(model, "prompt")["P"])
    assert_agree(model, theirs, batch)


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "qwen2"])
def test_prefix(model_type: str) -> None:
    """Positions are given, so that peft's shift is undone."""
    model = applied("prefix", model_type, length=LENGTH, initial_std=0.5)
    theirs, batch = wrapped(PrefixTuningConfig, model_type), inputs(model_type)
    with torch.no_grad():
        theirs.prompt_encoder["default"].embedding.weight.copy_(flat_prefix(model))
    positions = torch.arange(batch["input_ids"].shape[1])[None].expand_as(batch["input_ids"])
    assert_agree(model, theirs, batch, batch | {"position_ids": positions - LENGTH})


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
