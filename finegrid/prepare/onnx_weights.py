"""The weights in an ONNX graph: their names in the model, their shapes, their numbers.

torch exports a parameter under its own name. The matrix of a linear layer alone it folds with the
transposition before the product, and names it `onnx::MatMul_753`: then the path of the node that
reads it, `/encoder/layer.0/query/MatMul`, tells the module. Loads no torch.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finegrid.models.anatomy import Anatomy
from finegrid.prepare.onnx_file import (
    CODES,
    OnnxError,
    holds_numbers,
    read_graph,
    type_name,
    values,
)
from finegrid.records.weights import Shape

IsInputFirst = Callable[[str], bool]
"""Whether a module, by its path, keeps its matrix as (in, out), as GPT-2's layers do."""
_PARAMETER = re.compile(r"\w+(\.\w+)+")
_QUANTISED_END = "_quantized"
"""What quantisers put behind the name of a parameter."""
_WEIGHT = ".weight"
_MATRIX = 2
"""Axes of a matrix."""
_WITH_ZERO = 3
"""Inputs of `DequantizeLinear` with a zero point: codes, scale, zero point."""
_NAMED = 5
"""Names that a message holds before it counts the others."""
_INTEGER_PRODUCTS = (
    *("MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "QGemm", "QAttention"),
    *("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulNBits", "GatherBlockQuantized"),
)
"""Operators on codes, whose scales stand elsewhere."""


class _Codes(NamedTuple):
    """How the codes of a tensor become numbers: (code - zero) * scale."""

    scale: NDArray[np.float32]
    zero: NDArray[Any] | None
    axis: int


@dataclass(frozen=True)
class OnnxWeight:
    """A tensor of a graph as a weight of a model."""

    tensor: Any
    codes: _Codes | None = None
    turned: bool = False
    """Whether the model keeps the transpose of the tensor."""

    @property
    def shape(self) -> Shape:
        """That of the model's weight."""
        sizes = tuple(self.tensor.dims)
        return sizes[::-1] if self.turned else sizes

    def numbers(self) -> NDArray[np.float32]:
        """The weight in fp32, de-quantised. Raises OnnxError for a tensor that is cut off."""
        found = values(self.tensor)
        if self.codes is not None:
            found = _dequantised(found, self.codes)
        numbers = found.astype(np.float32)
        return np.ascontiguousarray(numbers.T if self.turned else numbers)


def read_weights(path: Path, is_input_first: IsInputFirst) -> dict[str, OnnxWeight]:
    """Name in the model -> weight, of every weight in an ONNX file.

    Raises OnnxError for a file that cannot be read, for numbers that are quantised otherwise than
    by `DequantizeLinear`, and for weights of which neither name nor node tells the module.
    """
    found = _Walk(path.name)
    found.follow(read_graph(path))
    return found.named(is_input_first)


def input_first(anatomy: Anatomy | None) -> IsInputFirst:
    """Whether a module keeps its matrix as (in, out), by the model's anatomy, if it has one."""
    parts = anatomy.parts if anatomy else ()
    paths = [f".{part.path}" for part in parts if part.stored == "transposed"]

    def is_input_first(module: str) -> bool:
        # A file may name the modules with the words before the body, or without them.
        own = f".{module}"
        return any(own.endswith(path) or path.endswith(own) for path in paths)

    return is_input_first


def dequantised(weights: Mapping[str, OnnxWeight]) -> str | None:
    """What weights were de-quantised from: bits and scales of the type that holds most codes.

    The shares are those of all numbers. None where no weight is quantised.
    """
    counts, coded = Counter[str](), Counter[tuple[str, str]]()
    tensors = {weight.tensor.name: weight for weight in weights.values()}
    for weight in tensors.values():
        kind, count = type_name(weight.tensor), math.prod(weight.tensor.dims)
        counts[kind] += count
        if weight.codes is not None:
            per = "tensor" if weight.codes.scale.size == 1 else "channel"
            coded[kind, per] += count
    if not coded:
        return None
    ((kind, per), _), *_ = coded.most_common(1)
    total = counts.total()
    shares = (f"{name} {100 * count / total:.1f} %" for name, count in counts.most_common())
    bits = kind.lstrip("UINT")
    return (
        f"de-quantised from {bits} bits ({', '.join(shares)} of the numbers; "
        f"ONNX, one scale per {per})"
    )


class _Use(NamedTuple):
    """A node that reads a tensor."""

    module: str | None
    """By the node's path; None where its name is none."""
    is_product: bool
    is_turned: bool
    """Of a product: whether its right operand is the transpose of the tensor."""


class _Value(NamedTuple):
    """What a name in the graph stands for: a tensor, as it is or transposed."""

    tensor: Any
    is_turned: bool = False


@dataclass
class _Walk:
    """Follows the tensors of a graph to the nodes that read them."""

    file: str
    tensors: list[Any] = field(default_factory=list)
    values: dict[str, _Value] = field(default_factory=dict)
    codes: dict[str, _Codes] = field(default_factory=dict)
    """Tensor -> how its codes become numbers."""
    scales: set[str] = field(default_factory=set)
    """Scales and zero points."""
    uses: defaultdict[str, list[_Use]] = field(default_factory=lambda: defaultdict(list))
    aliases: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Tensor -> its further names: torch exports parameters that are equal once."""

    def follow(self, graph: Any) -> None:
        """Go through the nodes, which stand in the order in which they are computed."""
        self.tensors = list(graph.initializer)
        self.values = {one.name: _Value(one) for one in self.tensors}
        readers = {
            "Constant": self._keep,
            "QuantizeLinear": self._round,
            "DequantizeLinear": self._dequantise,
            "Identity": self._rename,
            "Cast": self._pass_on,
            "Transpose": self._transpose,
            "Gather": self._look_up,
            "MatMul": self._multiply,
            "Gemm": self._multiply,
        }
        for node in graph.node:
            if node.op_type in _INTEGER_PRODUCTS:
                allowed = "allowed: numbers, or codes that DequantizeLinear reads"
                raise OnnxError(f"{self.file}: {node.op_type} computes with codes; {allowed}")
            if reader := readers.get(node.op_type):
                reader(node)

    def named(self, is_input_first: IsInputFirst) -> dict[str, OnnxWeight]:
        """Name in the model -> weight. Raises OnnxError."""
        found, left = dict[str, OnnxWeight](), list[str]()
        for tensor in filter(self._is_weight, self.tensors):
            names = dict(self._names(tensor, is_input_first))
            for name, turned in names.items():
                weight = OnnxWeight(tensor, self.codes.get(tensor.name), turned)
                if found.setdefault(name, weight).tensor is not tensor:
                    raise OnnxError(f"{self.file} has two weights that are {name}")
            if not names:
                left.append(f"{tensor.name} {tuple(tensor.dims)}")
        if left:
            told = ", ".join(left[:_NAMED])
            others = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
            allowed = "allowed: a graph with the names that torch exports, paths of modules"
            raise OnnxError(
                f"{self.file} does not tell whose weights are {told}{others}; {allowed}"
            )
        return found

    def _is_weight(self, tensor: Any) -> bool:
        if tensor.name in self.scales:
            return False
        is_read = holds_numbers(tensor) or tensor.name in self.codes
        # Numbers alone, as the root of a head's width, are constants of the computation.
        return is_read and (_is_parameter(tensor.name) or math.prod(tensor.dims) > 1)

    def _names(self, tensor: Any, is_input_first: IsInputFirst) -> Iterator[tuple[str, bool]]:
        """The names of a tensor in the model, each with whether the model keeps its transpose."""
        own = tensor.name.removesuffix(_QUANTISED_END)
        uses = self.uses[tensor.name]
        named = [name for name in (own, *self.aliases[tensor.name]) if _is_parameter(name)]
        # A matrix of which rows are looked up is a table, whatever else reads it.
        products = uses if all(one.is_product for one in uses) else []
        for name in named:
            module = name.removesuffix(_WEIGHT)
            is_matrix = bool(products) and name.endswith(_WEIGHT)
            yield name, is_matrix and products[0].is_turned == is_input_first(module)
        for use in () if named else uses:
            if use.module is not None:
                turned = use.is_product and use.is_turned == is_input_first(use.module)
                yield f"{use.module}{_WEIGHT}", turned

    def _keep(self, node: Any) -> None:
        """A constant, which may be a scale."""
        for one in node.attribute:
            if one.name == "value":
                self.values[node.output[0]] = _Value(one.t)

    def _round(self, node: Any) -> None:
        self.scales.update(node.input[1:])
        value = self.values.get(node.input[0])
        if value and math.prod(value.tensor.dims) > 1:
            allowed = "allowed: codes that are stored"
            raise OnnxError(
                f"{self.file}: {value.tensor.name} is quantised as it is read; {allowed}"
            )

    def _dequantise(self, node: Any) -> None:
        self.scales.update(node.input[1:])
        value = self.values.get(node.input[0])
        if value is None:
            return
        kind, scale = type_name(value.tensor), self.values.get(node.input[1])
        if kind not in CODES:
            allowed = f"allowed: {', '.join(CODES)}"
            raise OnnxError(f"{self.file}: {value.tensor.name} is quantised as {kind}; {allowed}")
        if scale is None or _attribute(node, "block_size", 0):
            allowed = "allowed: stored scales, one for a tensor or for each of its channels"
            raise OnnxError(f"{self.file}: {value.tensor.name} has scales of blocks; {allowed}")
        zero = self.values.get(node.input[2]) if len(node.input) == _WITH_ZERO else None
        axis = int(_attribute(node, "axis", 1))
        self.codes[value.tensor.name] = _Codes(
            values(scale.tensor).astype(np.float32),
            None if zero is None else values(zero.tensor),
            _MATRIX - 1 - axis if value.is_turned else axis,
        )
        self._pass_on(node)

    def _rename(self, node: Any) -> None:
        self._pass_on(node)
        if value := self.values.get(node.input[0]):
            self.aliases[value.tensor.name].append(node.output[0])

    def _pass_on(self, node: Any) -> None:
        if value := self.values.get(node.input[0]):
            self.values[node.output[0]] = value

    def _transpose(self, node: Any) -> None:
        value = self.values.get(node.input[0])
        if value and list(_attribute(node, "perm", [1, 0])) == [1, 0]:
            self.values[node.output[0]] = value._replace(is_turned=not value.is_turned)

    def _look_up(self, node: Any) -> None:
        if value := self.values.get(node.input[0]):
            self.uses[value.tensor.name].append(_Use(_module(node), False, False))

    def _multiply(self, node: Any) -> None:
        value = self.values.get(node.input[1])
        is_plain = _attribute(node, "alpha", 1.0) == 1.0
        if value and len(value.tensor.dims) == _MATRIX and is_plain:
            turned = value.is_turned != bool(_attribute(node, "transB", 0))
            self.uses[value.tensor.name].append(_Use(_module(node), True, turned))


def _is_parameter(name: str) -> bool:
    return _PARAMETER.fullmatch(name) is not None


def _module(node: Any) -> str | None:
    """The module that a node stands in: `layer.0.query` of `/layer.0/query/MatMul`."""
    path, _, _ = node.name.rpartition("/")
    return path.strip("/").replace("/", ".") or None


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx.helper import get_attribute_value

    return next((get_attribute_value(one) for one in node.attribute if one.name == name), default)


def _dequantised(found: NDArray[Any], codes: _Codes) -> NDArray[np.float32]:
    """(code - zero) * scale, with one scale for all, or one for each place of an axis."""
    shape = [1] * found.ndim
    if codes.scale.size > 1:
        shape[codes.axis] = -1
    zero = np.zeros(1, np.int64) if codes.zero is None else codes.zero.astype(np.int64)
    shifted = found.astype(np.int64) - zero.reshape(shape if zero.size > 1 else [1] * found.ndim)
    numbers: NDArray[np.float32] = shifted.astype(np.float32) * codes.scale.reshape(shape)
    return numbers
