"""Weights in codes: against the library's own layers, the papers' figures, and closed forms."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from finegrid.models.loading import base_sha256
from finegrid.models.precision import hold
from finegrid.models.quantised import (
    QuantisedLinear,
    dequantise,
    is_held_quantised,
    parameter_count,
    quantise,
)
from finegrid.records.training import Weights
from tests.methods.architectures import inputs, tiny

library = pytest.importorskip("bitsandbytes", reason="bitsandbytes holds weights in codes")

HOW: tuple[tuple[Weights, bool], ...] = (("int8", False), ("nf4", False), ("nf4", True))
SHAPES = ((64, 96), (33, 7), (130, 320))
CODE_BOOK = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
"""The values of 4-bit NormalFloat, Dettmers et al. 2023, appendix E."""


def linear(shape: tuple[int, int]) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(shape[1], shape[0])


def held(shape: tuple[int, int], weights: Weights, *, double: bool) -> QuantisedLinear:
    plain = linear(shape)
    return QuantisedLinear(plain.weight, plain.bias, weights, double=double)


def theirs(shape: tuple[int, int], weights: Weights, *, double: bool) -> tuple[Any, nn.Linear]:
    """The library's own layer, and the linear map of the weight that the library de-quantises."""
    plain, (rows, columns) = linear(shape), shape
    if weights == "int8":
        layer = library.nn.Linear8bitLt(columns, rows, has_fp16_weights=False)
    else:
        options = {"quant_type": "nf4", "compress_statistics": double}
        layer = library.nn.Linear4bit(columns, rows, compute_dtype=torch.float32, **options)
    layer.load_state_dict(plain.state_dict())
    layer = layer.to("cpu")  # where it is quantised
    if weights == "int8":
        weight = library.functional.int8_vectorwise_dequant(layer.weight.CB, layer.weight.SCB)
    else:
        weight = library.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    plain.weight.data = weight
    return layer, plain


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("weights", "double"), HOW)
def test_a_layer_is_the_linear_map_of_the_weight_that_the_library_de_quantises(
    shape: tuple[int, int], weights: Weights, double: bool
) -> None:
    layer, (other, plain) = (
        held(shape, weights, double=double),
        theirs(shape, weights, double=double),
    )
    torch.testing.assert_close(layer.weight, plain.weight.detach(), atol=1e-7, rtol=1e-6)
    assert torch.equal(layer.get_parameter("packed"), other.weight.data)
    assert not torch.equal(layer.weight, linear(shape).weight)
    x = torch.randn(2, 5, shape[1])
    torch.testing.assert_close(layer(x), plain(x), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(layer(x), other.train()(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("weights", "double"), HOW)
@pytest.mark.parametrize("is_half", [False, True])
def test_gradients_are_those_of_the_linear_map(
    weights: Weights, double: bool, is_half: bool
) -> None:
    layer, found = held((64, 96), weights, double=double), []
    plain = nn.Linear(96, 64)
    plain.weight.data, plain.bias.data = layer.weight.clone(), layer.bias.data.clone()
    x = torch.randn(2, 5, 96)
    for one in (layer, plain):
        own = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            output = one(own)
        output.float().pow(2).sum().backward()
        assert one.bias.grad is not None
        found.append((output.detach(), own.grad, one.bias.grad))
    near = 0.05 if is_half else 1e-5
    for ours, expected in zip(*found, strict=True):
        assert ours is not None
        assert expected is not None
        assert ours.dtype == expected.dtype
        torch.testing.assert_close(ours, expected, atol=near, rtol=near)


def test_nf4_rounds_to_the_nearest_value_of_the_paper() -> None:
    """Of each block of 64, scaled by its largest magnitude."""
    weight, code = linear((8, 128)).weight.detach(), torch.tensor(CODE_BOOK)
    blocks = weight.reshape(-1, 64)
    scale = blocks.abs().amax(1, keepdim=True)
    nearest = code[(blocks / scale).unsqueeze(-1).sub(code).abs().argmin(-1)]
    found = QuantisedLinear(weight, None, "nf4", double=False).weight
    torch.testing.assert_close(found, (nearest * scale).reshape(8, 128), atol=1e-7, rtol=1e-6)


def test_nf4_keeps_the_values_of_the_paper() -> None:
    weight = 0.5 * torch.tensor(CODE_BOOK).repeat(2, 8)
    found = QuantisedLinear(weight, None, "nf4", double=False).weight
    torch.testing.assert_close(found, weight, atol=1e-7, rtol=1e-6)


def test_int8_scales_each_row_by_its_largest_magnitude() -> None:
    weight = linear((8, 128)).weight.detach().half().float()
    scale = weight.abs().amax(1, keepdim=True)
    found = QuantisedLinear(weight, None, "int8", double=False).weight
    expected = torch.round(weight * (127 / scale)) * scale / 127
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-6)


def closed_form(count: int, rows: int, weights: Weights, *, double: bool) -> int:
    """Bytes of a weight of so many numbers."""
    if weights == "int8":
        return count + 4 * rows
    blocks = math.ceil(count / 64)
    packed = math.ceil(count / 2)
    if not double:
        return packed + 4 * blocks
    codes = 256  # of the type of 8 bits, in fp32, beside the mean that is taken off
    return packed + blocks + 4 * math.ceil(blocks / 256) + 4 * codes + 4


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("weights", "double"), HOW)
def test_bytes_are_those_of_the_closed_form(
    shape: tuple[int, int], weights: Weights, double: bool
) -> None:
    layer, plain = held(shape, weights, double=double), linear(shape)
    blank = QuantisedLinear(plain.weight.to("meta"), None, weights, double=double)
    expected = closed_form(shape[0] * shape[1], shape[0], weights, double=double)
    assert sum(p.nbytes for name, p in layer.named_parameters() if name != "bias") == expected
    assert sum(p.nbytes for p in blank.parameters()) == expected


SAME = pytest.mark.thorough("test_a_model_is_held_so_but_for_what_is_no_layer_of_a_block")
OTHERS = [pytest.param(name, marks=SAME) for name in ("gpt2", "linear-stack", "llama", "t5", "vit")]


@pytest.mark.parametrize("model_type", ["bert", *OTHERS])
def test_a_model_is_held_so_but_for_what_is_no_layer_of_a_block(model_type: str) -> None:
    plain, model = tiny(model_type), tiny(model_type)
    hold(model, "nf4")
    quantise(model, "nf4", double=True)
    layers = [path for path, one in model.named_modules() if isinstance(one, QuantisedLinear)]
    assert len(layers) > 1
    assert is_held_quantised(model) == "nf4"
    assert is_held_quantised(plain) is None
    exact = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        path, _, last = name.rpartition(".")
        if path not in layers or last == "bias":
            assert torch.equal(parameter, exact[name]), name
    words = ("classif", "score", "norm", "embed")
    assert not [path for path in layers if any(word in path.lower() for word in words)]
    assert parameter_count(model) == sum(p.numel() for p in plain.parameters())
    codes = base_sha256(model)
    assert codes != base_sha256(plain)
    given = inputs(model_type)
    with torch.no_grad():
        found = model(**given).logits
        assert not torch.equal(found, plain(**given).logits)
        dequantise(model)
        torch.testing.assert_close(model(**given).logits, found, atol=1e-5, rtol=1e-5)
    if model_type != "gpt2":  # whose weights are kept transposed when they are no codes
        assert base_sha256(model) == codes
    assert [n for n, _ in model.named_parameters()] == list(exact)
    assert {n: p.shape for n, p in model.named_parameters()} == {
        n: p.shape for n, p in exact.items()
    }


def test_a_weight_that_two_layers_share_is_held_once() -> None:
    model = tiny("bert")
    first, second = (model.bert.encoder.layer[at].attention.self for at in (0, 1))  # type: ignore[union-attr,index]
    second.query.weight = first.query.weight
    quantise(model, "nf4")
    assert second.query.packed is first.query.packed
    assert parameter_count(model) < parameter_count(tiny("bert"))


def test_a_model_without_such_layers_is_refused() -> None:
    model = tiny("bert")
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.__class__ = type("Other", (nn.Linear,), {"forward": lambda self, x: x})
    with pytest.raises(ValueError, match="weights: nf4: no linear layer"):
        quantise(model, "nf4")
