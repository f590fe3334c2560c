"""The parts of a live model: which weights of its blocks play a role, and which no role names."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from finegrid.models.anatomy import Block, Part, Rows, Stored, Unnamed
from finegrid.models.blocks import is_attention, is_convolution, is_transposed
from finegrid.models.family import Family
from finegrid.models.fused import alternating, even
from finegrid.models.vocabulary import longest_end, role_of

_CONVOLUTION = "convolution"
"""The role of a convolution that no word names."""
_LIBRARY_EXPERTS = ("is_transposed", "is_concatenated", "has_gate")
"""Attributes by which the library's stacked experts say how they are kept."""


@dataclass(frozen=True)
class Weight:
    """A weight of a block, and where it stands."""

    path: str
    """Of the module."""
    name: str
    """Of the parameter in its module."""
    module: nn.Module
    tensor: nn.Parameter
    in_attention: bool
    block: int
    stack: str
    configuration: Any
    """Of the nearest module around it that has one."""


def weights_of(model: nn.Module, blocks: Mapping[str, Block]) -> Iterator[Weight]:
    """The weights of all blocks, each once: matrices, kernels, tables; no norms, no biases."""
    seen, numbers = set[int](), dict[str, int]()
    for path, block in blocks.items():
        number = numbers.get(block.stack, 0)
        numbers[block.stack] = number + 1
        for weight in _in_block(model, path, number, block.stack):
            if id(weight.tensor) not in seen:
                seen.add(id(weight.tensor))
                yield weight


def _in_block(model: nn.Module, block: str, number: int, stack: str) -> Iterator[Weight]:
    top = model.get_submodule(block)
    attends = type(top).__name__.endswith("Attention")
    for inner, module in top.named_modules(None, block):
        around = [*_between(model, block, inner)]
        attention = attends or any(is_attention(p.rpartition(".")[2], m) for p, m in around[:-1])
        for name, tensor in module.named_parameters(recurse=False):
            if is_weight(module, name, tensor):
                config = configuration_around(model, inner)
                yield Weight(inner, name, module, tensor, attention, number, stack, config)


def is_weight(module: nn.Module, name: str, tensor: nn.Parameter) -> bool:
    """Whether a parameter is a weight: more than one row and column, and no bias."""
    rows = sum(size > 1 for size in tensor.shape)
    return not name.endswith("bias") and (rows > 1 or isinstance(module, nn.Linear))


def _between(model: nn.Module, block: str, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules from below the block down to the path."""
    names, start = path.split("."), len(block.split("."))
    for end in range(start + 1, len(names) + 1):
        inner = ".".join(names[:end])
        yield inner, model.get_submodule(inner)


def configuration_around(model: nn.Module, path: str) -> Any:
    """The configuration of the nearest module around a path that has one of the library's."""
    names = path.split(".")
    for end in range(len(names), -1, -1):
        module = model.get_submodule(".".join(names[:end]))
        config = getattr(module, "config", None)
        if hasattr(config, "to_dict"):
            return config
    return getattr(model, "config", None)


def part_of(weight: Weight, family: Family) -> list[Part]:
    """The parts that a weight holds; none where nothing names it."""
    if isinstance(weight.module, nn.Embedding):
        return []
    if weight.name != "weight":
        return _expert_parts(weight, family)
    stored = _stored(weight.module)
    if stored is None:
        return []
    if longest_end(weight.path, family.weights):
        stored = "weight"
    sizes = _sizes(weight, stored)
    if end := longest_end(weight.path, family.fused):
        layout = family.fused[end](weight.configuration, sizes[1])
        return [_part(weight, role, sizes[0], stored, rows) for role, rows in layout.items()]
    role = _role(weight, family, stored, whole=sizes)
    return [_part(weight, role, sizes[0], stored, None, sizes[1])] if role else []


def is_layer_of_attention(weight: Weight) -> bool:
    """Whether a linear layer stands in attention."""
    return weight.in_attention and _stored(weight.module) in ("linear", "transposed")


def unnamed(weight: Weight) -> Unnamed:
    """The record of a weight that no role names, under the path of its parameter."""
    return Unnamed(path=_parameter_path(weight), parameters=weight.tensor.numel())


def _role(weight: Weight, family: Family, stored: Stored, whole: tuple[int, int]) -> str | None:
    if end := longest_end(weight.path, family.words):
        return family.words[end]
    role = role_of(weight.path, in_attention=weight.in_attention)
    if role is None and weight.path.endswith(".gate") and _beside_experts(weight, whole):
        role = "router"
    return role or (_CONVOLUTION if stored == "convolution" else None)


def _beside_experts(weight: Weight, sizes: tuple[int, int]) -> bool:
    count = getattr(weight.configuration, "num_local_experts", None) or getattr(
        weight.configuration, "num_experts", None
    )
    return sizes[1] == count


def _stored(module: nn.Module) -> Stored | None:
    if is_transposed(module):
        return "transposed"
    if isinstance(module, nn.Linear):
        return "linear"
    return "convolution" if is_convolution(module) else None


def _sizes(weight: Weight, stored: Stored) -> tuple[int, int]:
    """Inputs and outputs; of a convolution its channels, those of all groups together."""
    if stored == "convolution":
        convolution: Any = weight.module
        return convolution.in_channels, convolution.out_channels
    rows, columns = weight.tensor.shape
    return (rows, columns) if stored == "transposed" else (columns, rows)


def _expert_parts(weight: Weight, family: Family) -> list[Part]:
    """The parts of a stacked weight (experts, out, in), or (experts, in, out)."""
    module: Any = weight.module
    path = _parameter_path(weight)
    if weight.tensor.dim() != 3:
        return []
    end = longest_end(path, family.experts)
    if not end and not all(hasattr(module, name) for name in _LIBRARY_EXPERTS):
        return []
    count, *sizes = weight.tensor.shape
    inputs, outputs = sizes if getattr(module, "is_transposed", False) else reversed(sizes)
    held = family.experts[end] if end else _held(weight.name, module)
    if held is None:
        return []
    if isinstance(held, str):
        return [_part(weight, held, inputs, "expert", None, outputs, count)]
    layout = held(weight.configuration, outputs)
    return [_part(weight, r, inputs, "expert", rows, None, count) for r, rows in layout.items()]


def _held(name: str, module: Any) -> Any:
    if name == "gate_up_proj" and module.has_gate:
        return (even if module.is_concatenated else alternating)("gate", "up")
    return {"up_proj": "up", "down_proj": "down"}.get(name)


def _part(
    weight: Weight,
    role: str,
    inputs: int,
    stored: Stored,
    rows: Rows | None,
    outputs: int | None = None,
    experts: int = 1,
) -> Part:
    out = rows.total if rows else outputs or 0
    whole = weight.tensor.numel()
    return Part(
        path=_parameter_path(weight) if stored == "expert" else weight.path,
        role=role,
        block=weight.block,
        stack=weight.stack,
        in_features=inputs,
        out_features=out,
        stored=stored,
        parameters=inputs * out * experts if rows else whole,
        outputs=rows,
        experts=experts,
    )


def _parameter_path(weight: Weight) -> str:
    name = weight.name
    return weight.path if name == "weight" else f"{weight.path}.{name}"


def place_from(path: str, place: str) -> str:
    """The path of a place that is named from another path, as `../dropout` is."""
    return posixpath.normpath(f"{path.replace('.', '/')}/{place}").replace("/", ".")
