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
Function = Callable[..., torch.Tensor]


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
    normalises_outputs: bool = False
    """Whether a norm takes what a sublayer adds, and none its input."""
    is_parallel: bool = False
    """Whether the feed-forward part reads what attention reads."""
    drops_sum: bool = False
    """Whether one dropout takes what both sublayers add, until adapters stand between them."""
    drops: tuple[bool, bool] = (True, True)
    """Whether there is a dropout behind attention and behind the feed-forward part."""
    around: Callable[[Any, torch.Tensor], dict[str, Any]] = lambda model, x: {}
    """What the model gives its blocks beside the states."""


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


def _output_of(layer: nn.Module, call: Callable[[], Any]) -> torch.Tensor:
    """What the layer gives out in the call."""
    outputs: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    call()
    hook.remove()
    return outputs[0]


def _rotary(body: Any, x: torch.Tensor) -> dict[str, Any]:
    """Cosines and sines (batch, tokens, features of a head) of the positions."""
    return {"position_embeddings": body.rotary_emb(x, torch.arange(x.shape[1])[None])}


def _alibi(model: Any, x: torch.Tensor) -> dict[str, Any]:
    mask = torch.ones(x.shape[:2])
    body = model.transformer
    return {"alibi": body.build_alibi_tensor(mask, body.num_heads, x.dtype)}


def _gpt_neox(is_parallel: bool) -> Parts:
    return Parts(
        lambda: transformer(
            "gpt_neox", use_parallel_residual=is_parallel, hidden_dropout=P, attention_dropout=0.0
        ),
        lambda block, x, **around: block.attention(x, attention_mask=None, **around)[0],
        lambda block, x: block.mlp(x),
        ("input_layernorm", "post_attention_layernorm"),
        is_parallel=is_parallel,
        around=lambda model, x: _rotary(model.gpt_neox, x),
    )


def _falcon(norms: tuple[str, str], is_parallel: bool, **options: Any) -> Parts:
    """Dropout of attention's weights is the dropout behind it too, or none at all is."""
    return Parts(
        lambda: _without_weights_dropout(transformer("falcon", **_FALCON, **options)),
        lambda block, x, **around: block.self_attention(x, attention_mask=None, **around)[0],
        lambda block, x: block.mlp(x),
        norms,
        is_parallel=is_parallel,
        drops_sum=is_parallel,
        around=lambda model, x: {"alibi": None} | _rotary(model.transformer, x),
    )


def _without_weights_dropout(model: Any) -> nn.Module:
    for block in model.transformer.h:
        block.self_attention.attention_dropout.p = 0.0
    return cast("nn.Module", model)


def _opt(normalises_sums: bool) -> Parts:
    return Parts(
        lambda: transformer(
            "opt",
            ffn_dim=96,
            word_embed_proj_dim=64,
            do_layer_norm_before=not normalises_sums,
            dropout=P,
            attention_dropout=0.0,
        ),
        lambda block, x: block.self_attn(x)[0],
        lambda block, x: block.fc2(functional.relu(block.fc1(x))),
        ("self_attn_layer_norm", "final_layer_norm"),
        normalises_sums=normalises_sums,
    )


_FALCON = {"alibi": False, "bias": True, "hidden_dropout": P, "attention_dropout": P}
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
    "albert": Parts(
        lambda: transformer(
            "albert", embedding_size=32, hidden_dropout_prob=P, attention_probs_dropout_prob=0.0
        ),
        lambda block, x: _output_of(block.attention.dense, lambda: block.attention(x)),
        lambda block, x: block.ff_chunk(x),
        ("attention.LayerNorm", "full_layer_layer_norm"),
        normalises_sums=True,
        drops=(True, False),
    ),
    "bloom": Parts(
        lambda: transformer("bloom", hidden_dropout=P, attention_dropout=0.0),
        lambda block, x, **around: _output_of(
            block.self_attention.dense,
            lambda: block.self_attention(x, x, attention_mask=None, **around),
        ),
        lambda block, x: _output_of(block.mlp.dense_4h_to_h, lambda: block.mlp(x, x)),
        ("input_layernorm", "post_attention_layernorm"),
        around=_alibi,
    ),
    "falcon, one after the other": _falcon(
        ("input_layernorm", "post_attention_layernorm"),
        is_parallel=False,
        multi_query=False,
        parallel_attn=False,
        new_decoder_architecture=False,
    ),
    "falcon": _falcon(
        ("input_layernorm", "input_layernorm"), is_parallel=True, new_decoder_architecture=False
    ),
    "falcon by groups": _falcon(
        ("ln_attn", "ln_mlp"), is_parallel=True, num_kv_heads=2, new_decoder_architecture=True
    ),
    "gpt_neox": _gpt_neox(is_parallel=True),
    "gpt_neox, one after the other": _gpt_neox(is_parallel=False),
    "olmo2": Parts(
        lambda: transformer("olmo2", num_key_value_heads=1, attention_dropout=0.0),
        lambda block, x, **around: block.self_attn(x, attention_mask=None, **around)[0],
        lambda block, x: block.mlp(x),
        ("post_attention_layernorm", "post_feedforward_layernorm"),
        normalises_outputs=True,
        drops=(False, False),
        around=lambda model, x: _rotary(model.model, x),
    ),
    "opt": _opt(normalises_sums=False),
    "opt, of 350 million": _opt(normalises_sums=True),
    "phi3": Parts(
        lambda: transformer(
            "phi3", num_key_value_heads=1, pad_token_id=1, resid_pdrop=P, attention_dropout=0.0
        ),
        lambda block, x, **around: block.self_attn(x, attention_mask=None, **around)[0],
        lambda block, x: block.mlp(x),
        ("input_layernorm", "post_attention_layernorm"),
        around=lambda model, x: _rotary(model.model, x),
    ),
}


@cache
def _models(name: str, placement: str, normed: bool) -> tuple[Any, Any]:
    """A model without adapters, not training, and one of the same weights with them."""
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
    return plain.eval(), adapted.train()


def bottleneck(tensors: Any, x: torch.Tensor) -> torch.Tensor:
    """U f(D x + b) + c, of x normalised and scaled where the adapter has a norm."""
    if "gain" in tensors:
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        x = x * tensors["gain"] + tensors["shift"]
    inner = functional.gelu(x @ tensors["D"].T + tensors["b"])
    update: torch.Tensor = inner @ tensors["U"].T + tensors["c"]
    return update


def written(
    parts: Parts, block: Any, adapters: list[Any], placement: str, x: Any, around: dict[str, Any]
) -> Any:
    """The block's output by the formulas; h is a sublayer's output and x what it is added to."""
    first, second = (block.get_submodule(name) for name in parts.norms)
    same = nn.Identity()
    before = (same, same) if parts.normalises_sums or parts.normalises_outputs else (first, second)
    behind = (first, second) if parts.normalises_sums else (same, same)
    out = (first, second) if parts.normalises_outputs else (same, same)
    drop = [functional.dropout if drops else (lambda h, p: h) for drops in parts.drops]

    if parts.drops_sum and placement == "pfeiffer":
        added = parts.attention(block, first(x), **around) + parts.feed_forward(block, second(x))
        h = functional.dropout(added, P)
        return x + h + bottleneck(adapters[-1], x + h)
    read = x
    h = drop[0](out[0](parts.attention(block, before[0](x), **around)), P)
    if placement in ("houlsby", "attention"):  # adapter-bert: dropout, adapter, sum, norm
        h = h + bottleneck(adapters[0], h)
    x = behind[0](x + h)
    inner = before[1](read if parts.is_parallel else x)
    h = drop[1](out[1](parts.feed_forward(block, inner)), P)
    if placement in ("houlsby", "feed-forward"):
        h = h + bottleneck(adapters[-1], h)
    if placement == "parallel":  # He et al. 2022, table 1: x is the feed-forward part's input
        h = h + bottleneck(adapters[-1], inner)
    if placement == "pfeiffer":  # MAD-X, section 4.1: r + U f(D LN(x + r)), then the norm again
        h = h + bottleneck(adapters[-1], behind[1](x + h))
    return behind[1](x + h)


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize(
    "placement", ["houlsby", "attention", "feed-forward", "pfeiffer", "parallel"]
)
@torch.no_grad()
def test_a_placement_is_its_formula(placement: str, name: str, normed: bool) -> None:
    models = _models(name, placement, normed)
    plain, adapted = (blocks_of(model)[0] for model in models)
    x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(4)).double()
    around = PARTS[name].around(models[0], x)
    adapters = [m for path, m in adapted.named_modules() if path.split(".")[-1] == "adapter"]
    torch.manual_seed(5)
    expected = written(PARTS[name], plain, adapters, placement, x, around)
    torch.manual_seed(5)
    found = adapted(x, attention_mask=None, **around)
    found = found[0] if isinstance(found, tuple) else found
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    torch.manual_seed(5)
    without = written(PARTS[name], plain, [], "none", x, around)
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
