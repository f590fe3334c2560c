"""Fused layers by numbers: what a model computes with the rows that an anatomy gives to a role.

The outputs of a fused layer are changed, by a hook, at one position or at all, in the rows of one
role; what then reaches the layer behind them tells the role:

- a changed query changes what its own position attends to, and nothing else;
- without values, nothing is attended to;
- a changed key changes other positions;
- what is behind the gate is linear in `up`, and not in `gate`.

Each claim holds for the true rows alone, as there are no more of them than were named.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from finegrid.models.anatomy import Part
from finegrid.models.discovery import discover
from finegrid.models.family import FAMILIES
from tests.models.fused_cases import CASES, EXPERTS, Case

Change = Callable[[torch.Tensor], object]
_AT = 2
"""The position that is changed."""


class Bench:
    """A tiny model, one of its fused layers, and the layer that reads what is made of it."""

    def __init__(self, case: Case, behind: str) -> None:
        self.case, self.model = case, case.build()
        anatomy = discover(self.model)
        held = [part for part in anatomy.parts if part.outputs and part.stored != "expert"]
        self.parts = {part.role: part for part in held}
        fused = next(part for part in held if part.role in ("q", "up")[behind == "down" :][:1])
        self.fused = self.model.get_submodule(fused.path)
        place = (fused.stack, fused.block)
        after = [p for p in anatomy.parts if (p.stack, p.block) == place and p.role == behind]
        self.reader = self.model.get_submodule(after[0].path)

    def read(self, change: Change | None = None) -> torch.Tensor:
        """What reaches the reader, (positions, features), with the fused outputs changed."""
        seen: list[torch.Tensor] = []

        def alter(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            changed = output.clone()
            if change:
                change(changed.view(-1, changed.shape[-1]))
            return changed

        handles = [
            self.fused.register_forward_hook(alter),
            self.reader.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0])),
        ]
        with torch.no_grad():
            torch.manual_seed(1)
            self.case.run(self.model)
        for handle in handles:
            handle.remove()
        return seen[0].reshape(-1, seen[0].shape[-1])

    def moved(self, role: str) -> set[int]:
        """Positions at which something else arrives where the role differs at one of them."""
        rows = rows_of(self.parts[role])
        before = self.read()

        def change(outputs: torch.Tensor) -> None:
            outputs[_AT, rows] += torch.linspace(1, 2, len(rows), dtype=outputs.dtype)

        assert torch.equal(before, self.read())
        after = self.read(change)
        return set((before - after).abs().amax(dim=1).gt(1e-12).nonzero().flatten().tolist())

    def scaled(self, role: str, factor: float) -> torch.Tensor:
        """What arrives where the role's outputs are multiplied at all positions."""
        rows = rows_of(self.parts[role])

        def change(outputs: torch.Tensor) -> None:
            outputs[:, rows] *= factor

        return self.read(change)


def rows_of(part: Part) -> torch.Tensor:
    assert part.outputs is not None
    return torch.tensor(part.outputs.indices())


@cache
def attention(name: str) -> Bench:
    return Bench(CASES[name], behind="o")


FEED_FORWARD = ("glm", "glm4", "modernbert-decoder")
"""Those whose attention is not fused."""
ATTENTION = [name for name in CASES if name not in FEED_FORWARD]
GATED = [*FEED_FORWARD, "modernbert", "phi3", "phi3 with few keys"]


def test_every_family_with_a_fused_layer_is_a_case() -> None:
    fused = {name for name in FAMILIES if FAMILIES.get(name).fused}
    assert fused == {case.model_type for case in CASES.values()}


@pytest.mark.parametrize("name", ATTENTION)
def test_parts_share_the_rows_of_a_layer_out(name: str) -> None:
    bench = attention(name)
    layer = next(iter(bench.parts.values())).path
    held = [part for part in bench.parts.values() if part.path == layer]
    rows = torch.cat([rows_of(part) for part in held]).sort().values
    assert rows.tolist() == list(range(len(rows)))
    assert len({part.out_features for part in held if part.role in ("k", "v")}) <= 1


@pytest.mark.parametrize("name", ATTENTION)
def test_a_query_acts_on_its_own_position(name: str) -> None:
    assert attention(name).moved("q") == {_AT}


@pytest.mark.parametrize("name", [name for name in ATTENTION if name != "qwen3_next"])
def test_a_key_acts_on_other_positions(name: str) -> None:
    assert attention(name).moved("k") - {_AT}


@pytest.mark.parametrize("name", [name for name in ATTENTION if name != "qwen3_next"])
def test_without_values_nothing_is_attended_to(name: str) -> None:
    bench = attention(name)
    biases = [p for n, p in bench.model.named_parameters() if n.endswith("v_bias")]
    with torch.no_grad():
        for bias in biases:  # the first DeBERTa adds one of its own
            bias.zero_()
    assert bench.scaled("v", 0).abs().max() == 0
    assert bench.read().abs().max() > 0


@pytest.mark.parametrize("name", GATED)
def test_a_feed_forward_part_is_linear_in_up_and_not_in_its_gate(name: str) -> None:
    bench = Bench(CASES[name], behind="down")
    plain = bench.read()
    assert torch.allclose(bench.scaled("up", 3), 3 * plain, rtol=1e-9)
    assert not torch.allclose(bench.scaled("gate", 3), 3 * plain, rtol=1e-3)


def test_the_gate_of_an_attention_scales_what_it_gives_out() -> None:
    """What arrives is sigmoid(gate) times what is attended to, and half of that without a gate."""
    bench = attention("qwen3_next")
    assert bench.moved("o_gate") == {_AT}
    rows, seen = rows_of(bench.parts["o_gate"]), list[torch.Tensor]()
    plain = bench.read(lambda outputs: seen.append(outputs[:, rows].clone()))
    assert torch.allclose(bench.scaled("o_gate", 0) * 2 * seen[0].sigmoid(), plain, rtol=1e-9)


def _experts(case: Case) -> tuple[nn.Module, dict[str, Part]]:
    model = case.build()
    parts = {p.role: p for p in discover(model).parts if p.stored == "expert"}
    return model, parts


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_are_affine_in_up_and_not_in_their_gate(name: str) -> None:
    """f(2 u) - 2 f(u) + f(0) = 0 for the rows u of `up`, in the outputs of all experts."""
    model, parts = _experts(EXPERTS[name])
    path, _, parameter = parts["up"].path.rpartition(".")
    module: Any = model.get_submodule(path)
    weight: torch.Tensor = getattr(module, parameter)
    tokens = torch.randn(4, parts["up"].in_features, dtype=torch.float64) / 10
    chosen, shares = torch.tensor([[0], [1], [0], [1]]), torch.ones(4, 1, dtype=torch.float64)

    def bend(role: str) -> float:
        rows, found = rows_of(parts[role]), []
        kept = weight.clone()
        for factor in (0.0, 1.0, 2.0):
            with torch.no_grad():
                held = weight.transpose(1, 2) if module.is_transposed else weight
                held[:, rows] *= factor
                found.append(module(tokens, chosen, shares))
                weight.copy_(kept)
        return float((found[2] - 2 * found[1] + found[0]).abs().max() / found[1].abs().max())

    assert bend("up") < 1e-9 < 1e-3 < bend("gate")


@pytest.mark.parametrize("name", ["mamba", "mamba2", "falcon_mamba"])
def test_a_state_space_has_no_queries(name: str) -> None:
    from tests.models.golden import anatomy

    assert not {"q", "k", "v"} & set(anatomy(name).roles)
