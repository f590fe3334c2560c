"""The memory probe against closed forms."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from records.result import Memory
from tests.training.assets import WIDTHS, Assets
from training.memory import PeakMeter, optimizer_bytes, tensor_bytes

CPU = torch.device("cpu")
HEAD = WIDTHS[-2] * WIDTHS[-1] + WIDTHS[-1]
ALL = sum(a * b + b for a, b in pairwise(WIDTHS))
TENSORS = {"full": 2 * (len(WIDTHS) - 1), "head": 2}
TRAINED = {"full": ALL, "head": HEAD}
FLOAT, STEP_COUNTER, BATCH = 4, 4, 48


def measure(assets: Assets, results: Path, method: str, name: str = "adamw") -> Memory:
    spec = assets.specification(method, optimizer={"name": name}, batch_size=BATCH)
    memory = assets.run(spec, results).memory
    assert memory is not None
    return memory


@pytest.mark.parametrize("method", TRAINED)
@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_categories_equal_their_closed_forms(
    assets: Assets, tmp_path: Path, method: str, name: str
) -> None:
    memory = measure(assets, tmp_path, method, name)
    trained = TRAINED[method]
    adam = 2 * FLOAT * trained + STEP_COUNTER * TENSORS[method]
    assert memory.weights_bytes == FLOAT * ALL
    assert memory.gradients_bytes == FLOAT * trained
    assert memory.optimizer_bytes == (adam if name == "adamw" else 0)
    assert memory.batch == (BATCH, 1)
    assert memory.instrument == "cpu-allocator-events"


@pytest.mark.parametrize("method", TRAINED)
def test_peaks_hold_what_lives_in_them(assets: Assets, tmp_path: Path, method: str) -> None:
    memory = measure(assets, tmp_path, method)
    fixed = memory.weights_bytes + memory.optimizer_bytes
    assert memory.peak_training_bytes >= fixed + memory.gradients_bytes
    assert memory.peak_backward_bytes >= fixed + memory.gradients_bytes
    assert memory.peak_step_bytes >= fixed + memory.gradients_bytes
    phases = (memory.peak_forward_bytes, memory.peak_backward_bytes, memory.peak_step_bytes)
    assert memory.peak_training_bytes == max(phases)
    passes = max(memory.peak_forward_bytes, memory.peak_backward_bytes)
    assert memory.activations_bytes == passes - fixed - memory.gradients_bytes > 0
    assert memory.peak_forward_bytes >= fixed + FLOAT * BATCH * (WIDTHS[0] + WIDTHS[-1])
    assert memory.peak_load_bytes >= memory.weights_bytes
    assert memory.peak_evaluate_bytes >= fixed


def test_a_frozen_body_keeps_no_activations(assets: Assets, tmp_path: Path) -> None:
    full, head = (measure(assets, tmp_path, method) for method in ("full", "head"))
    assert head.activations_bytes < full.activations_bytes
    assert head.peak_training_bytes < full.peak_training_bytes
    hidden = FLOAT * BATCH * sum(WIDTHS[1:-1])
    assert full.peak_forward_bytes >= full.weights_bytes + full.optimizer_bytes + hidden


def test_the_meter_counts_a_known_allocation_exactly() -> None:
    with PeakMeter(CPU) as meter:
        kept = torch.empty(1000)
        dropped = torch.empty(3000)
        del dropped
        late = torch.empty(100, dtype=torch.float64)
    assert kept.numel() + late.numel() == 1100
    assert meter.peak == 4 * (1000 + 3000)
    assert meter.change == 4 * 1000 + 8 * 100


def test_a_phase_sees_what_earlier_ones_left_and_what_it_frees() -> None:
    with PeakMeter(CPU) as meter:
        with meter.phase("first"):
            held = [torch.empty(3000)]
        with meter.phase("second"):
            held.clear()
            held.append(torch.empty(500))
        with meter.phase("third"):
            held.append(torch.empty(100))
    assert meter.peaks == {"first": 12000, "second": 12000, "third": 2400}
    assert (meter.peak, meter.change) == (12000, 2400)


def test_a_backward_pass_frees_as_it_goes() -> None:
    """Forward keeps three outputs of tanh; backward holds two gradients more at most."""
    x = torch.zeros(1000, requires_grad=True)
    with PeakMeter(CPU) as meter:
        with meter.phase("forward"):
            loss = x.tanh().tanh().tanh().sum()
        with meter.phase("backward"):
            loss.backward()  # type: ignore[no-untyped-call]
    assert meter.peaks["forward"] == 3 * 4000 + 4
    assert meter.peaks["backward"] <= 5 * 4000 + 8
    assert meter.change == 4000 + 4


def test_shared_storage_counts_once() -> None:
    whole = torch.empty(10, 10)
    assert tensor_bytes([whole, whole[2:], whole.T]) == 400
    assert tensor_bytes([whole, whole.clone()]) == 800


def test_optimizer_state_of_a_tied_weight_counts_once() -> None:
    layer = nn.Linear(4, 4, bias=False)
    optimizer = torch.optim.Adam(layer.parameters())
    assert optimizer_bytes(optimizer) == 0
    layer(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert optimizer_bytes(optimizer) == 2 * 4 * 16 + STEP_COUNTER
