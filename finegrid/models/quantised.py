"""Linear layers whose weights are held in 8 or 4 bits, by bitsandbytes.

A weight is held quantised and multiplied with de-quantised: `training.dtype` says in which type, on
every device, in training and in evaluation. Neither the inputs nor the products are quantised.
"""

from __future__ import annotations

import logging
import sys
from functools import cache
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional

from finegrid.models.head import head_parameters
from finegrid.models.live import anatomy_of
from finegrid.records.training import Weights, is_quantised

Tensors = dict[str, torch.Tensor]

BLOCK = 64
"""Weights that share a constant: Dettmers et al. 2023, section 4."""
DOUBLE_BLOCK = 256
"""Constants that share one of their own, where they are quantised again: the same, section 3."""
_CODES = 256
"""Values of the data type of 8 bits in which constants are held."""
_INT8_LARGEST = 127


class QuantisedLinear(nn.Linear):
    """A linear map y = W x (+ b) whose W (out, in) is held in codes and is frozen.

    `int8`: round(127 W / s) with s the largest magnitude of each row, the vector-wise quantisation
    of Dettmers et al. 2022 (LLM.int8(), arXiv:2208.07339, section 2.1). `nf4`: two weights a byte
    in 4-bit NormalFloat, blocks of 64 scaled by their largest magnitude; with `double` these
    constants are held in 8 bits, blocks of 256 (QLoRA, Dettmers et al. 2023, arXiv:2305.14314,
    section 3). A bias b (out,) stays as it was.
    """

    def __init__(
        self, weight: torch.Tensor, bias: nn.Parameter | None, weights: Weights, *, double: bool
    ) -> None:
        """Quantise a weight (out, in). Without numbers, as in a trace, its codes have none."""
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.held_in = weights
        is_blank = weight.is_meta or isinstance(weight, FakeTensor)
        pack = _blank if is_blank else _packed
        for name, tensor in pack(weight.detach().float(), weights, double=double).items():
            # parameters, which processes exchange once, and not buffers, which they do in each step
            self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
        self.register_parameter("bias", bias)

    @property
    def constants(self) -> Tensors:
        """What is held beside the codes, by its name."""
        return {n: p for n, p in self._parameters.items() if p is not None and n in _CONSTANTS}

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]  # it is computed here
        """W (out, in), de-quantised: a copy in fp32, and what is written into it is lost."""
        return self.dequantised(torch.float32)

    def dequantised(self, dtype: torch.dtype) -> torch.Tensor:
        """W (out, in), de-quantised into a type."""
        unpack = _int8_weight if self.held_in == "int8" else _nf4_weight
        return unpack(self, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """W x (+ b) of x (..., in), in the type of x or that of autocast."""
        device, dtype = x.device.type, x.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        bias = None if self.bias is None else self.bias.to(dtype)
        rows = x.to(dtype).reshape(-1, self.in_features)  # what the product gives is no view then
        product: torch.Tensor = _Product.apply(rows, bias, self)  # type: ignore[no-untyped-call]
        return product.view(*x.shape[:-1], self.out_features)


class _Product(torch.autograd.Function):
    """W x (+ b) of x (rows, in). It keeps nothing for its backward pass, where W is de-quantised
    again."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, bias: torch.Tensor | None, layer: QuantisedLinear
    ) -> torch.Tensor:
        ctx.layer = layer
        return functional.linear(x, layer.dequantised(x.dtype), bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_input = of_bias = None
        if ctx.needs_input_grad[0]:
            of_input = gradient @ ctx.layer.dequantised(gradient.dtype)
        if ctx.needs_input_grad[1]:
            of_bias = gradient.sum(0)
        return of_input, of_bias, None


_CONSTANTS = ("scale", "absmax", "offset", "double_absmax", "double_code")


def quantise(model: nn.Module, weights: Weights, *, double: bool = False) -> None:
    """Hold the linear layers of the model's blocks quantised, in place; other types do nothing.

    All else stays as it is: embeddings, norms, the head, experts that are one tensor, and layers
    that compute something else than a linear map. Weights that are kept transposed are held as
    (out, in). Raises ValueError where no layer can be held so.
    """
    if not is_quantised(weights):
        return
    anatomy_of(model)  # found before, as it reads the weights' shapes
    made: dict[int, Tensors] = {}
    found = list(_linear_modules(model))
    if not found:
        raise ValueError(f"weights: {weights}: no linear layer of the model can be held so")
    for path, module in found:
        weight: torch.Tensor = module.weight  # type: ignore[assignment]  # a parameter
        bias: Any = module.bias
        layer = QuantisedLinear(_out_first(module), bias, weights, double=double)
        for name, tensor in made.setdefault(id(weight), dict(layer.named_parameters())).items():
            if name != "bias":
                layer.register_parameter(name, tensor)  # type: ignore[arg-type]  # it is one
        layer.train(module.training)
        _put(model, path, layer)
        del weight, module


def dequantise(model: nn.Module) -> None:
    """Put plain linear layers, in fp32, in the place of quantised ones, before a method is applied.

    They compute the same; layers that were kept transposed are so again.
    """
    from transformers.pytorch_utils import Conv1D

    transposed = {part.path for part in anatomy_of(model).parts if part.stored == "transposed"}
    for path, layer in list(model.named_modules()):
        if not isinstance(layer, QuantisedLinear):
            continue
        weight = layer.weight
        if path in transposed:
            plain: nn.Module = Conv1D(layer.out_features, layer.in_features)
            weight = weight.T.contiguous()
        else:
            plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        plain.weight = nn.Parameter(weight, requires_grad=False)
        plain.bias = layer.bias
        _put(model, path, plain.train(layer.training))


def is_held_quantised(model: nn.Module) -> Weights | None:
    """The type in which layers of the model are held quantised; None where none is."""
    layers = (one for one in model.modules() if isinstance(one, QuantisedLinear))
    return next((layer.held_in for layer in layers), None)


def parameter_count(model: nn.Module) -> int:
    """Parameters of the architecture: a weight counts its numbers, however many bytes hold them."""
    counts: dict[int, int] = {}
    for layer in model.modules():
        if isinstance(layer, QuantisedLinear):
            counts[id(layer.packed)] = layer.in_features * layer.out_features
            counts |= dict.fromkeys(map(id, layer.constants.values()), 0)
    return sum(counts.get(id(p), p.numel()) for p in model.parameters())


def numbers(model: nn.Module) -> list[tuple[str, torch.Tensor | QuantisedLinear]]:
    """Name -> parameter of the architecture; for a quantised weight stands its layer."""
    found: dict[str, torch.Tensor | QuantisedLinear] = dict(model.named_parameters())
    for path, layer in model.named_modules():
        if isinstance(layer, QuantisedLinear):
            for name in ("packed", *layer.constants):
                found.pop(f"{path}.{name}", None)
            found[f"{path}.weight"] = layer
    return sorted(found.items(), key=lambda item: item[0])


def _linear_modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Path -> module of the blocks' linear layers, those of the head aside."""
    from transformers.pytorch_utils import Conv1D

    maps = (nn.Linear.forward, Conv1D.forward)
    blocks = [block.path for block in anatomy_of(model).blocks]
    inside = tuple(f"{path}." for path in blocks)
    heads = set(map(id, head_parameters(model)))
    return [
        (path, module)
        for path, module in model.named_modules()
        if (path in blocks or path.startswith(inside))
        and type(module).forward in maps
        and id(module.weight) not in heads
    ]


def _out_first(module: nn.Module) -> torch.Tensor:
    """The module's weight as (out, in)."""
    weight: torch.Tensor = module.weight  # type: ignore[assignment]  # a parameter
    return weight if isinstance(module, nn.Linear) else weight.T


def _put(model: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


def _packed(weight: torch.Tensor, weights: Weights, *, double: bool) -> Tensors:
    """The codes and constants of a weight (out, in) in fp32."""
    library, weight = _library(), weight.contiguous()
    if weights == "int8":
        codes, scale, _ = library.int8_vectorwise_quant(weight.half())  # as its own layer does
        return {"packed": codes, "scale": scale}
    packed, state = library.quantize_4bit(
        weight, blocksize=BLOCK, compress_statistics=double, quant_type="nf4"
    )
    found = {"packed": packed, "absmax": state.absmax}
    if double:
        inner = state.state2
        found |= {"offset": state.offset, "double_absmax": inner.absmax, "double_code": inner.code}
    return found


def _blank(weight: torch.Tensor, weights: Weights, *, double: bool) -> Tensors:
    """Tensors of the sizes that `_packed` gives, without numbers."""
    count, device = weight.numel(), weight.device
    if weights == "int8":
        codes = torch.empty(weight.shape, dtype=torch.int8, device=device)
        return {"packed": codes, "scale": torch.empty(weight.shape[0], device=device)}
    blocks = -(-count // BLOCK)
    packed = torch.empty((count + 1) // 2, 1, dtype=torch.uint8, device=device)
    if not double:
        return {"packed": packed, "absmax": torch.empty(blocks, device=device)}
    return {
        "packed": packed,
        "absmax": torch.empty(blocks, dtype=torch.uint8, device=device),
        "offset": torch.empty((), device=device),
        "double_absmax": torch.empty(-(-blocks // DOUBLE_BLOCK), device=device),
        "double_code": torch.empty(_CODES, device=device),
    }


def _int8_weight(layer: QuantisedLinear, dtype: torch.dtype) -> torch.Tensor:
    scale = layer.constants["scale"][:, None] / _INT8_LARGEST  # (out, 1)
    codes: torch.Tensor = layer.packed  # type: ignore[assignment]  # a parameter
    return (codes.to(torch.float32) * scale).to(dtype)


def _nf4_weight(layer: QuantisedLinear, dtype: torch.dtype) -> torch.Tensor:
    library, found, doubled = _library(), layer.constants, {}
    if "offset" in found:
        inner = library.QuantState(
            absmax=found["double_absmax"],
            code=found["double_code"],
            blocksize=DOUBLE_BLOCK,
            dtype=torch.float32,
        )
        doubled = {"offset": found["offset"], "state2": inner}
    state = library.QuantState(
        absmax=found["absmax"],
        shape=torch.Size((layer.out_features, layer.in_features)),
        blocksize=BLOCK,
        quant_type="nf4",
        dtype=dtype,
        **doubled,
    )
    weight: torch.Tensor = library.dequantize_4bit(layer.packed, state)
    return weight


@cache
def _library() -> Any:
    """The functions of bitsandbytes.

    On its import it looks for kernels that the package `kernels` would download, and warns where it
    finds none. No code is fetched here, and none of these kernels is used.
    """
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    absent = object()
    level, kernels = logger.level, sys.modules.get("kernels", absent)
    logger.setLevel(logging.ERROR)
    sys.modules["kernels"] = None  # type: ignore[assignment]  # it is not importable then
    try:
        from bitsandbytes import functional as found
    finally:
        logger.setLevel(level)
        del sys.modules["kernels"]
        if kernels is not absent:
            sys.modules["kernels"] = kernels  # type: ignore[assignment]  # a module
    return found
