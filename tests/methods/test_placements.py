"""Adapters beside the written formula of each placement, in blocks of every layout.

The references are written with the modules of a model without adapters. Dropout is on, as it does
not commute with an adapter, and the norms' gains and shifts are drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModelForAudioClassification, AutoModelForImageClassification

from finegrid.models.layers import blocks_of
from methods.registry import METHODS
from tests.methods.architectures import IMAGES, SEQ2SEQ, SPEECH, T5, tiny, transformer

P = 0.5
Function = Callable[[Any, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Parts:
    """A model, and how a block of it is composed."""

    model: Callable[[], nn.Module]
    attention: Function
    """Attention and its output projection."""
    feed_forward: Function
    norms: tuple[str, str]
    normalises_sums: bool = False
    """Whether a norm takes each sum of a sublayer and its residual, or each sublayer's input."""


def _t5() -> nn.Module:
    """Without the dropouts inside its sublayers, which are no part of the formulas."""
    model: Any = transformer("t5", **T5, dropout_rate=P)
    for block in model.transformer.encoder.block:
        block.layer[0].SelfAttention.dropout = 0.0
        block.layer[1].DenseReluDense.dropout.p = 0.0
    return cast("nn.Module", model)


def _attend(block: Any, x: torch.Tensor) -> torch.Tensor:
    output: torch.Tensor = block.self_attn(x, attention_mask=None)[0]
    return output


def _two_layers(block: Any, x: torch.Tensor) -> torch.Tensor:
    output: torch.Tensor = block.fc2(functional.gelu(block.fc1(x)))
    return output


_BERT_LIKE = ("attention.output.LayerNorm", "output.LayerNorm")
PARTS = {
    "bert": Parts(
        lambda: transformer("bert", hidden_dropout_prob=P, attention_probs_dropout_prob=0.0),
        lambda block, x: block.attention.output.dense(block.attention.self(x)[0]),
        lambda block, x: block.output.dense(block.intermediate(x)),
        _BERT_LIKE,
        normalises_sums=True,
    ),
    "bart": Parts(
        lambda: transformer("bart", **SEQ2SEQ, dropout=P),
        _attend,
        _two_layers,
        ("self_attn_layer_norm", "final_layer_norm"),
        normalises_sums=True,
    ),
    "gpt2": Parts(
        lambda: transformer("gpt2", n_embd=64, n_layer=2, n_head=2, resid_pdrop=P, attn_pdrop=0.0),
        lambda block, x: block.attn(x)[0],
        lambda block, x: block.mlp(x),
        ("ln_1", "ln_2"),
    ),
    "vit": Parts(
        lambda: transformer(
            "vit", AutoModelForImageClassification, **IMAGES, hidden_dropout_prob=P
        ),
        lambda block, x: block.attention(x)[0],
        lambda block, x: block.mlp(x),
        ("layernorm_before", "layernorm_after"),
    ),
    "whisper": Parts(
        lambda: transformer(
            "whisper", AutoModelForAudioClassification, **SEQ2SEQ, **SPEECH, dropout=P
        ),
        _attend,
        _two_layers,
        ("self_attn_layer_norm", "final_layer_norm"),
    ),
    "t5": Parts(
        _t5,
        lambda block, x: block.layer[0].SelfAttention(x)[0],
        lambda block, x: block.layer[1].DenseReluDense(x),
        ("layer.0.layer_norm", "layer.1.layer_norm"),
    ),
}


@cache
def _models(name: str, placement: str, normed: bool) -> tuple[Any, Any]:
    """A first block without adapters, not training, and one of the same weights with them."""
    plain, adapted = PARTS[name].model().double(), PARTS[name].model().double()
    draw = torch.Generator().manual_seed(2)
    for parameter in plain.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw).double() / 5 + 0.1
    adapted.load_state_dict(plain.state_dict())
    settings: dict[str, Any] = {"size": 4, "placement": placement, "layer_norm": normed}
    METHODS.build("adapter", settings).apply(adapted, draw)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn(parameter.shape, generator=draw).double() / 3
    return blocks_of(plain.eval())[0], blocks_of(adapted.train())[0]


def bottleneck(tensors: Any, x: torch.Tensor) -> torch.Tensor:
    """U f(D x + b) + c, of x normalised and scaled where the adapter has a norm."""
    if "gain" in tensors:
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        x = x * tensors["gain"] + tensors["shift"]
    inner = functional.gelu(x @ tensors["D"].T + tensors["b"])
    update: torch.Tensor = inner @ tensors["U"].T + tensors["c"]
    return update


def written(parts: Parts, block: Any, adapters: list[Any], placement: str, x: Any) -> Any:
    """The block's output by the formulas; h is a sublayer's output and x what it is added to."""
    first, second = (block.get_submodule(name) for name in parts.norms)
    after = parts.normalises_sums
    h = functional.dropout(parts.attention(block, x if after else first(x)), P)
    if placement in ("houlsby", "attention"):  # adapter-bert: dropout, adapter, sum, norm
        h = h + bottleneck(adapters[0], h)
    x = first(x + h) if after else x + h
    inner = x if after else second(x)
    h = functional.dropout(parts.feed_forward(block, inner), P)
    if placement in ("houlsby", "feed-forward"):
        h = h + bottleneck(adapters[-1], h)
    if placement == "parallel":  # He et al. 2022, table 1: x is the feed-forward part's input
        h = h + bottleneck(adapters[-1], inner)
    if placement == "pfeiffer":  # MAD-X, section 4.1: r + U f(D LN(x + r)), then the norm again
        h = h + bottleneck(adapters[-1], second(x + h) if after else x + h)
    return second(x + h) if after else x + h


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize(
    "placement", ["houlsby", "attention", "feed-forward", "pfeiffer", "parallel"]
)
@torch.no_grad()
def test_a_placement_is_its_formula(placement: str, name: str, normed: bool) -> None:
    plain, adapted = _models(name, placement, normed)
    x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(4)).double()
    adapters = [m for path, m in adapted.named_modules() if path.split(".")[-1] == "adapter"]
    torch.manual_seed(5)
    expected = written(PARTS[name], plain, adapters, placement, x)
    torch.manual_seed(5)
    found = adapted(x, attention_mask=None)
    found = found[0] if isinstance(found, tuple) else found
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    torch.manual_seed(5)
    without = written(PARTS[name], plain, [], "none", x)
    assert (expected - without).abs().max() > 0.01
    assert len(adapters) == (2 if placement == "houlsby" else 1)


@torch.no_grad()
def test_linear_follows_each_layer() -> None:
    """x <- relu(h + U f(D h + b) + c) with h = W x + v, over the layers below the head."""
    model: Any = tiny("linear-stack")
    METHODS.build("adapter", {"size": 4, "placement": "linear"}).apply(model, torch.Generator())
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    x = features = torch.randn(3, 32, generator=torch.Generator().manual_seed(4))
    for layer in model.body:
        h = x @ layer.weight.T + layer.bias
        x = torch.relu(h + bottleneck(layer.adapter, h))
    expected = x @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(features).logits, expected)
