"""Discovery finds exactly the hand-written table of the architectures, on a tiny model of each."""

from functools import cache
from typing import Any

import pytest
from torch import nn

from finegrid.models.anatomy import Anatomy, Part
from finegrid.models.architectures import ARCHITECTURES, architecture_of
from finegrid.models.discovery import discover
from finegrid.models.head import head_modules
from finegrid.models.layers import (
    Layer,
    blocks_of,
    dropouts_behind,
    ends_of,
    linear_layers,
    modules_matching,
)
from finegrid.models.positions import positions
from methods.parameters import norms
from tests.methods.architectures import TINY, shape, tiny

TYPES = sorted(ARCHITECTURES)


@cache
def found(model_type: str) -> tuple[nn.Module, Anatomy]:
    model = tiny(model_type)
    return model, discover(model)


def paths_of(model: nn.Module, modules: list[nn.Module]) -> list[str]:
    names = {id(module): path for path, module in model.named_modules()}
    return [names[id(module)] for module in modules]


def as_layer(model: nn.Module, part: Part) -> Layer:
    start = part.outputs.start if part.outputs else 0
    stop, transposed = start + part.out_features, part.stored == "transposed"
    module = model.get_submodule(part.path)
    return Layer(module, part.role, part.in_features, start, stop, transposed)


def config_of(model: nn.Module) -> dict[str, Any]:
    config: Any = model.config
    return dict(config.to_dict() if hasattr(config, "to_dict") else vars(config))


def test_every_architecture_of_the_table_has_a_tiny_model() -> None:
    assert sorted(TINY) == TYPES


@pytest.mark.parametrize("model_type", TYPES)
def test_parts_are_those_of_the_table(model_type: str) -> None:
    model, anatomy = found(model_type)
    wanted = shape(model_type).sizes
    assert set(anatomy.roles) == set(wanted)
    for role in wanted:
        parts = anatomy.of_roles((role,))
        assert [as_layer(model, part) for part in parts] == list(linear_layers(model, (role,)))
        of_blocks = {(part.in_features, part.out_features) for part in parts}
        assert of_blocks == set(wanted[role])
    assert {part.stored for part in anatomy.parts} <= {"linear", "transposed"}


@pytest.mark.parametrize("model_type", TYPES)
def test_blocks_and_head_are_those_of_the_table(model_type: str) -> None:
    model, anatomy = found(model_type)
    assert [block.path for block in anatomy.blocks] == paths_of(model, blocks_of(model))
    assert list(anatomy.head) == paths_of(model, head_modules(model))
    modules = dict(model.named_modules())
    expected = [path for path in architecture_of(model).optional if path in modules]
    assert list(anatomy.optional) == expected
    assert list(anatomy.norms) == paths_of(model, norms(model))
    assert anatomy.has_biases == architecture_of(model).has_biases


@pytest.mark.parametrize("model_type", TYPES)
def test_attention_is_that_of_the_table(model_type: str) -> None:
    model, anatomy = found(model_type)
    architecture = architecture_of(model)
    wanted = architecture.attention
    expected = [path for path, _ in modules_matching(model, wanted)] if wanted else []
    assert [one.path for one in anatomy.attention] == expected
    assert (anatomy.attention_reason is None) == (wanted is not None)
    assert anatomy.attention_implementation == architecture.attention_implementation
    heads = {(one.key_heads, one.head_size) for one in anatomy.attention}
    assert heads <= {architecture.key_heads(config_of(model))} if wanted else not heads


@pytest.mark.parametrize("model_type", TYPES)
def test_what_text_needs_is_that_of_the_table(model_type: str) -> None:
    model, anatomy = found(model_type)
    architecture = architecture_of(model)
    assert anatomy.reads == architecture.reads
    assert anatomy.poolings == architecture.poolings
    assert anatomy.causal == architecture.causal
    assert anatomy.encoder_decoder == architecture.encoder_decoder
    assert anatomy.positions == positions(config_of(model))
    if model_type != "linear-stack":
        assert anatomy.hidden == config_of(model)[architecture.keys.hidden]
    pattern = architecture.embeddings
    tables = [path for path, _ in modules_matching(model, pattern)] if pattern else []
    assert anatomy.embeddings == next(iter(tables), None)


@pytest.mark.parametrize("model_type", TYPES)
def test_ends_of_sublayers_are_those_of_the_table(model_type: str) -> None:
    model, anatomy = found(model_type)
    for role in ("o", "down"):
        parts = anatomy.of_roles((role,))
        behind = {p.path: p.dropout for p in parts if p.dropout}
        assert list(behind) == paths_of(model, [m for m, _ in dropouts_behind(model, role)])
        if parts:
            assert [p.end or p.path for p in parts] == paths_of(model, list(ends_of(model, role)))
    pattern = architecture_of(model).feed_forward_sum
    sums = [path for path, _ in modules_matching(model, pattern)] if pattern else []
    assert list(anatomy.feed_forward_sums) == sums
    assert anatomy.sums_known == (pattern is not None)
