"""Prefixes beside the paper's equation, on one layer of BERT; the top of a model."""

import math
import re
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from finegrid.models.head import head_parameters
from methods.injection import added
from methods.registry import METHODS
from tests.methods.architectures import TINY, anatomy, logits, tiny

HEADS, SIZE = 2, 32


def layer_with(name: str, **settings: Any) -> tuple[Any, nn.Module]:
    """The first layer of a BERT whose added tensors are all drawn, and the whole model."""
    model: Any = tiny("bert").double()
    METHODS.build(name, settings).apply(model, torch.Generator().manual_seed(2))
    draw = torch.Generator().manual_seed(3)
    for parameter in model.bert.parameters():
        if parameter.requires_grad:
            parameter.data = torch.empty_like(parameter.data).normal_(generator=draw).double() / 4
    return model.double().bert.encoder.layer[0], model


def states() -> torch.Tensor:
    return torch.randn(2, 5, HEADS * SIZE, generator=torch.Generator().manual_seed(4)).double()


def linear(module: Any, x: torch.Tensor) -> torch.Tensor:
    """W x + b, without the hooks of the module."""
    product: torch.Tensor = x @ module.weight.T + module.bias
    return product


def norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + module.eps).sqrt()
    scaled: torch.Tensor = centred / deviation * module.weight + module.bias
    return scaled


def attend(attention: Any, x: torch.Tensor, prefix: Any = None) -> torch.Tensor:
    """softmax(q [P_k; K]^T / sqrt(d)) [P_v; V], head by head."""
    query, key, value = (linear(getattr(attention, n), x) for n in ("query", "key", "value"))
    outputs = []
    for head in range(HEADS):
        part = slice(head * SIZE, (head + 1) * SIZE)
        q, k, v = query[..., part], key[..., part], value[..., part]
        if prefix is not None:
            k = torch.cat([prefix["key"][head].expand(len(x), -1, -1), k], dim=1)
            v = torch.cat([prefix["value"][head].expand(len(x), -1, -1), v], dim=1)
        weights = (q @ k.transpose(1, 2) / math.sqrt(SIZE)).exp()
        outputs.append(weights / weights.sum(-1, keepdim=True) @ v)
    return torch.cat(outputs, dim=-1)


def block(layer: Any, x: torch.Tensor, prefix: Any = None) -> torch.Tensor:
    """The whole layer: attention and feed-forward part."""
    o, down = layer.attention.output, layer.output
    x = norm(o.LayerNorm, x + linear(o.dense, attend(layer.attention.self, x, prefix)))
    h = linear(down.dense, functional.gelu(linear(layer.intermediate.dense, x)))
    return norm(down.LayerNorm, x + h)


@pytest.mark.parametrize(("name", "blocks"), [("bert", 1), ("gpt2", 2), ("bart", 3)])
def test_the_top_is_what_stands_next_to_the_head(name: str, blocks: int) -> None:
    """Of two blocks, or of two in the encoder and two in the decoder."""
    model = tiny(name)
    METHODS.build("full", {"top_blocks": blocks}).apply(model, torch.Generator())
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    found = {m[0] for n in trained if (m := re.search(r"(encoder|decoder|h)\.(\w+\.)?\d+", n))}
    expected = {
        "bert": {"encoder.layer.1"},
        "gpt2": {"h.0", "h.1"},
        "bart": {"encoder.layers.1", "decoder.layers.0", "decoder.layers.1"},
    }
    assert found == expected[name]
    assert not any("embed" in n or "wte" in n or "ln_f" in n for n in trained)


@pytest.mark.parametrize("name", TINY)
def test_the_top_is_what_is_computed_last(name: str) -> None:
    """Found by a pass through the model, which ends with the blocks that are trained."""
    model, order = tiny(name), list[str]()
    blocks = [block.path for block in anatomy(name).blocks]
    for path in blocks:
        model.get_submodule(path).register_forward_hook(lambda *_, path=path: order.append(path))
    logits(model, name)
    assert sorted(order) == sorted(blocks)
    for count in range(1, len(blocks) + 1):
        fresh = tiny(name)
        METHODS.build("full", {"top_blocks": count}).apply(fresh, torch.Generator())
        head = set(map(id, head_parameters(fresh)))
        trained = {n for n, p in fresh.named_parameters() if p.requires_grad and id(p) not in head}
        inside = {
            f"{path}.{n}"
            for path in order[-count:]
            for n, _ in fresh.get_submodule(path).named_parameters()
        }
        assert trained == inside, count


def test_more_blocks_than_there_are_are_refused() -> None:
    method = METHODS.build("full", {"top_blocks": 3})
    assert list(method.problems(anatomy("bart"))) == []
    (problem,) = method.problems(anatomy("bert"))
    assert problem == "top_blocks: 3 is above the model's blocks; allowed: 1 to 2"


@pytest.mark.parametrize("settings", [{}, {"reparametrisation": 16}], ids=str)
def test_a_prefix_is_drawn_with_the_deviation_that_it_is_given(settings: dict[str, Any]) -> None:
    """Of a thousand numbers or more, within four standard errors."""
    model = tiny("bert")
    method = METHODS.build("prefix", {"length": 40, "initial_std": 0.3} | settings)
    method.apply(model, torch.Generator().manual_seed(3))
    drawn = [p for n, p in model.named_parameters() if "prefix" in n.split(".") and p.any()]
    assert len(drawn) >= 3
    for parameter in drawn:
        assert parameter.numel() > 1000
        assert float(parameter.detach().std()) == pytest.approx(0.3, rel=0.09)


@torch.no_grad()
def test_a_prefix_is_its_equation() -> None:
    """Li and Liang 2021, equation 3, in the form of attention over more keys and values."""
    layer, _ = layer_with("prefix", length=3)
    x = states()
    expected = block(layer, x, added(layer.attention.self, "prefix"))
    torch.testing.assert_close(layer(x), expected, atol=1e-9, rtol=0)
    assert (expected - block(layer, x)).abs().max() > 0.01


def test_a_qwen2_has_biases_at_queries_keys_and_values_alone() -> None:
    """BitFit trains them: two layers with two heads of queries, and one of keys, of 32 each."""
    model: Any = tiny("qwen2")
    method = METHODS.build("bitfit", {})
    method.apply(model, torch.Generator())
    body = [name for name, one in model.model.named_parameters() if one.requires_grad]
    assert {name.split(".", 2)[2] for name in body} == {f"self_attn.{n}_proj.bias" for n in "qkv"}
    assert method.body_parameters(model) == 2 * (2 + 1 + 1) * 32
