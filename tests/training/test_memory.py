"""The memory probe against closed forms."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from finegrid.records.costs import Memory
from finegrid.records.specification import Specification
from finegrid.training.batches import evaluation_batches, most_units
from finegrid.training.loop import Trainer
from finegrid.training.measure.memory import PeakMeter, optimizer_bytes, probe_memory, tensor_bytes
from finegrid.training.measure.prediction import with_prediction
from finegrid.training.measure.step import Step
from finegrid.training.measure.traces import Traces
from finegrid.training.optimization import make_optimizer
from tests.training.assets import WIDTHS, Assets

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
    assert 0 < memory.activations_bytes <= memory.peak_forward_bytes - fixed
    assert memory.peak_forward_bytes >= fixed + FLOAT * BATCH * (WIDTHS[0] + WIDTHS[-1])
    assert memory.peak_load_bytes >= memory.weights_bytes
    assert memory.peak_evaluate_bytes >= fixed


def test_a_frozen_body_keeps_no_activations(assets: Assets, tmp_path: Path) -> None:
    full, head = (measure(assets, tmp_path, method) for method in ("full", "head"))
    assert head.activations_bytes < full.activations_bytes
    assert head.peak_training_bytes < full.peak_training_bytes
    hidden = FLOAT * BATCH * sum(WIDTHS[1:-1])
    assert full.activations_bytes >= head.activations_bytes + hidden
    assert full.peak_forward_bytes >= full.weights_bytes + full.optimizer_bytes + hidden


@pytest.mark.parametrize(
    ("model", "method", "settings", "training"),
    [
        ("network", "full", {}, {}),
        ("network", "lora", {"targets": ["linear"]}, {}),
        ("network", "head", {}, {}),
        ("bert", "full", {}, {}),
        ("bert", "full", {}, {"micro_batch_size": 8}),
        ("bert", "full", {}, {"optimizer": {"name": "sgd"}, "dropout": 0.0}),
        ("bert", "lora", {"targets": ["q", "v"]}, {}),
        ("bert", "prefix", {}, {"micro_batch_size": 4}),
        ("bert", "bitfit", {}, {}),
        ("bert", "head", {}, {}),
    ],
)
def test_activations_are_what_autograd_saves(
    assets: Assets, model: str, method: str, settings: dict[str, Any], training: dict[str, Any]
) -> None:
    spec = assets.specification(method, model=model, settings=settings, **training)
    trainer = prepared(assets, spec)
    memory = probe(trainer)
    trainer.model.train()
    # A few scalars, the loss among them, are held and not saved.
    assert memory.activations_bytes == pytest.approx(saved_bytes(trainer), rel=0.01, abs=600)


def test_recomputed_activations_are_not_kept(assets: Assets) -> None:
    """Of each block its input, (batch, sequence, hidden), and what lies outside the blocks."""
    kept = []
    for sparing in (False, True):
        spec = assets.specification("full", model="bert", gradient_checkpointing=sparing)
        memory = probe(prepared(assets, spec))
        kept.append(memory.activations_bytes)
    hidden = FLOAT * memory.batch[0] * memory.batch[1] * 64
    assert 2 * hidden < kept[1] < 8 * hidden < kept[0]


@pytest.mark.parametrize(
    ("model", "method", "training"),
    [
        ("bert", "full", {}),
        ("bert", "full", {"micro_batch_size": 8}),
        ("bert", "full", {"micro_batch_size": 2}),
        ("bert", "full", {"micro_batch_units": 64}),
        ("bert", "lora", {"micro_batch_size": 2}),
        ("network", "full", {"micro_batch_size": 4}),
    ],
)
def test_the_probe_and_the_trace_see_the_peak_of_the_step_itself(
    assets: Assets, model: str, method: str, training: dict[str, Any], tmp_path: Path
) -> None:
    spec = assets.specification(method, model=model, **training)
    trainer = prepared(assets, spec)
    live = [*trainer.model.parameters(), *trainer.model.buffers()]
    before = tensor_bytes(live) + optimizer_bytes(trainer.optimizer)
    trainer.optimizer.zero_grad(set_to_none=True)
    sizes = trainer.train_split.sizes
    largest = set(most_units(sizes, spec.training))
    batch = next(one for one in evaluation_batches(sizes, 16) if largest <= set(one))
    with PeakMeter(CPU) as meter:
        trainer.step(1, batch)
    found = probe(trainer)
    assert found.peak_training_bytes == pytest.approx(before + meter.peak, rel=0.02)
    told = with_prediction(found, spec, Traces(tmp_path)).predicted_peak_bytes
    assert told == pytest.approx(before + meter.peak, rel=0.04)


def test_gradients_that_add_up_are_there_in_the_forward_pass(assets: Assets) -> None:
    whole, parts = (
        assets.specification("full", batch_size=16, micro_batch_size=4),
        assets.specification("full", batch_size=4),
    )
    several, one = (probe(prepared(assets, spec)) for spec in (whole, parts))
    assert several.batch == one.batch == (4, 1)
    assert several.peak_forward_bytes - one.peak_forward_bytes == FLOAT * ALL + FLOAT  # the loss
    assert several.activations_bytes == one.activations_bytes
    assert several.peak_evaluate_bytes == one.peak_evaluate_bytes


def test_a_split_that_fits_into_a_micro_batch_has_no_second(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification("full", batch_size=128, micro_batch_size=64)
    at_once = assets.specification("full", batch_size=128)
    found, expected = (
        with_prediction(probe(prepared(assets, s)), s, Traces(tmp_path)) for s in (spec, at_once)
    )
    assert found == expected


def probe(trainer: Trainer) -> Memory:
    return probe_memory(trainer.model, Step(trainer), trainer.optimizer, 0)


def prepared(assets: Assets, spec: Specification) -> Trainer:
    """A trainer after its first step, which makes the optimizer's state."""
    name = spec.model.name
    trainer = Trainer(
        assets.applied(spec), assets.manifest(name), assets.splits(name), spec.training, print
    )
    trainer.optimizer = make_optimizer(trainer.model, spec.training)
    Step(trainer).forward().backward()  # type: ignore[no-untyped-call]
    trainer.optimizer.step()
    return trainer


def saved_bytes(trainer: Trainer) -> int:
    """Bytes of the storages that autograd saves in a forward pass, parameters left out."""
    model = trainer.model
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = Step(trainer).forward()
    assert loss.requires_grad
    return sum(saved.values())


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
