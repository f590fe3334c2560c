"""Packed examples: no loss and no gradient tells them from single ones."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finegrid.models.live import anatomy_of
from finegrid.prepare.packing import best_fit, packed
from methods.registry import METHODS
from tests.kinds.test_writing import SETTINGS, of_type
from tests.kinds.writing import OWN, write_writer, writer

LENGTH = 16
OPTIONS: dict[str, Any] = {"encoding": {"packing": True}}


@given(st.integers(1, 40), st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_every_size_goes_into_one_group_that_holds_it(capacity: int, sizes: list[int]) -> None:
    sizes = [min(size, capacity) for size in sizes]
    groups = best_fit(sizes, capacity)
    assert sorted(index for group in groups for index in group) == list(range(len(sizes)))
    filled = [sum(sizes[index] for index in group) for group in groups]
    assert max(filled) <= capacity
    # no two groups would go into one
    assert all(one + other > capacity for one, other in pairwise(filled))


def test_the_fullest_group_that_still_has_room_is_filled_first() -> None:
    assert best_fit([4, 8, 1, 4, 2, 1], 10) == [[1, 4], [0, 3, 2, 5]]


@pytest.mark.parametrize("name", ["full", "lora", "prefix", "loreft"])
@pytest.mark.parametrize("model_type", ["gpt2", "llama", "mistral"])
def test_packed_examples_have_the_losses_and_gradients_of_single_ones(
    tmp_path: Path, model_type: str, name: str
) -> None:
    single = of_type(write_writer(tmp_path / "writer", model_type), model_type, OPTIONS)
    kind, model = single.kind, writer(model_type)
    rows = pa.Table.from_batches(packed(kind, single.table.to_batches(), LENGTH))
    packs = replace(single, table=rows)
    assert len(packs) < len(single)
    assert sum(packs.sizes) == sum(single.sizes)
    assert sum(packs.weights) == sum(single.weights)
    METHODS.build(name, SETTINGS.get(name, {})).apply(model, torch.Generator().manual_seed(0))

    def found(examples: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
        model.zero_grad()
        loss = kind.output.loss(model, examples.batch(range(len(examples))))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss, [p.grad.clone() for p in model.parameters() if p.grad is not None]

    (one, gradients), (other, others) = found(single), found(packs)
    torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-5)
    for gradient, again in zip(gradients, others, strict=True):
        torch.testing.assert_close(again, gradient, atol=1e-5, rtol=1e-4)
    blank = kind.inputs.blank(2, LENGTH, model.config)
    assert {key: one.dtype for key, one in blank.items()} == {
        key: one.dtype for key, one in packs.batch([0]).inputs.items()
    }


@pytest.mark.parametrize("model_type", OWN)
def test_a_model_that_would_mix_packed_examples_is_refused(model_type: str) -> None:
    anatomy = anatomy_of(writer(model_type))
    assert anatomy.packs == (model_type in ("gpt2", "llama", "mistral"))
    assert anatomy.head == ()


def test_positions_start_again(tmp_path: Path) -> None:
    single = of_type(write_writer(tmp_path / "writer", "llama"), "llama", OPTIONS)
    (first, *_) = packed(single.kind, single.table.to_batches(), LENGTH)
    pack = replace(single, table=pa.Table.from_batches([first])).inputs[0]
    starts = np.flatnonzero(pack["position_ids"] == 0)
    assert (pack["input_ids"][starts] == pack["input_ids"][0]).all()  # each begins a text
    assert len(starts) > 1
