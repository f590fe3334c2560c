"""The training loop: accumulation, clipping, precision, evaluations and the kept state."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from finegrid.models.seeds import seed_global
from finegrid.records.result import DELTA_FILE, PREDICTIONS_FILE, Score
from finegrid.records.specification import Specification
from finegrid.training import loop
from finegrid.training.evaluation import predict
from finegrid.training.loop import Trainer, evaluation_steps
from methods.parameters import load_trainable, trainable_state
from methods.registry import training_methods
from tests.methods.cases import settings_of
from tests.training.assets import Assets, Event, read_history, run_folder, steps

CPU = torch.device("cpu")
State = dict[str, torch.Tensor]


def history(assets: Assets, spec: Specification) -> tuple[list[Event], State]:
    """The events of a training, and the state that it keeps."""
    events: list[Event] = []
    name = spec.model.name
    trainer = Trainer(
        assets.applied(spec),
        assets.manifest(name),
        assets.splits(name),
        spec.training,
        events.append,
    )
    seed_global(spec.seed, "dropout")
    trainer.train(torch.Generator().manual_seed(spec.seed))
    return events, trainable_state(trainer.model)


def values(events: list[Event], key: str) -> list[float]:
    return [event[key] for event in steps(events)]


@pytest.mark.parametrize("micro", [1, 2, 4])
def test_micro_batches_train_as_the_whole_batch_does(assets: Assets, micro: int) -> None:
    options: dict[str, Any] = {"epochs": 3, "optimizer": {"name": "sgd"}, "learning_rate": 0.1}
    whole, state = history(assets, assets.specification(**options))
    parts, other = history(assets, assets.specification(**options, micro_batch_size=micro))
    assert len(steps(whole)) == 12
    for key in ("loss", "gradient_norm"):
        assert values(parts, key) == pytest.approx(values(whole, key), abs=1e-6)
    for name, tensor in state.items():
        torch.testing.assert_close(other[name], tensor, atol=1e-6, rtol=0)


def test_so_they_do_by_their_units(assets: Assets) -> None:
    """Texts of 3 to 30 tokens, of which a backward pass takes from 2 to 16 examples."""
    options: dict[str, Any] = {"optimizer": {"name": "sgd"}, "learning_rate": 0.1, "dropout": 0.0}
    whole, state = history(assets, assets.specification("full", model="bert", **options))
    spec = assets.specification("full", model="bert", **options, micro_batch_units=64)
    parts, other = history(assets, spec)
    for key in ("loss", "gradient_norm"):
        assert values(parts, key) == pytest.approx(values(whole, key), abs=1e-5)
    for name, tensor in state.items():
        torch.testing.assert_close(other[name], tensor, atol=1e-5, rtol=0)


def test_micro_batches_are_as_small_as_asked(
    assets: Assets, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    plain = Trainer.loss

    def loss(self: Trainer, indices: list[int]) -> torch.Tensor:
        sizes.append(len(indices))
        return plain(self, indices)

    monkeypatch.setattr(Trainer, "loss", loss)
    history(assets, assets.specification(micro_batch_size=8))
    assert sorted(sizes) == [2, 8, 8, 8, 8, 8, 8]


SPARED = "test_gradient_checkpointing_recomputes_and_changes_nothing"


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(name, marks=() if name in ("lora", "prefix") else pytest.mark.thorough(SPARED))
        for name in training_methods()
    ],
)
def test_gradient_checkpointing_recomputes_and_changes_nothing(assets: Assets, method: str) -> None:
    """With the model's own dropout: its masks are drawn again as they were."""
    found, calls, settings = {}, {}, settings_of(method)[0]
    for checkpointing in (False, True):
        spec = assets.specification(
            method, model="bert", settings=settings, gradient_checkpointing=checkpointing
        )
        with counted_calls() as count:
            found[checkpointing] = history(assets, spec)
        calls[checkpointing] = count["with gradients"]
    assert calls[True] > 1.5 * calls[False] > 0
    assert steps(found[True][0]) == steps(found[False][0])
    start = trainable_state(assets.applied(spec))
    for name, tensor in found[False][1].items():
        assert torch.equal(found[True][1][name], tensor)
        assert not torch.equal(start[name], tensor)


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Counts the linear layers' calls that build a graph."""
    count: Counter[str] = Counter()

    def hook(module: torch.nn.Module, inputs: Any) -> None:
        count["with gradients"] += isinstance(module, torch.nn.Linear) and torch.is_grad_enabled()

    handle = torch.nn.modules.module.register_module_forward_pre_hook(hook)
    try:
        yield count
    finally:
        handle.remove()


@pytest.mark.parametrize(("limit", "clipped"), [(1e-3, True), (1e3, False), (None, False)])
def test_clipping_bounds_the_update_and_records_the_norm_before_it(
    assets: Assets, limit: float | None, clipped: bool
) -> None:
    spec = assets.specification(
        batch_size=50,
        learning_rate=1.0,
        optimizer={"name": "sgd"},
        schedule="constant",
        gradient_clip_norm=limit,
    )
    start = {name: t.clone() for name, t in trainable_state(assets.applied(spec)).items()}
    events, end = history(assets, spec)
    update = torch.stack([(end[name] - start[name]).norm() for name in start]).norm().item()
    (recorded,) = values(events, "gradient_norm")
    assert recorded > 0.01
    assert update == pytest.approx(limit if clipped else recorded, rel=1e-3)


@pytest.mark.parametrize("name", ["bert", "network"])
def test_bf16_trains_and_differs_from_fp32(assets: Assets, name: str) -> None:
    found = {}
    for dtype in ("fp32", "bf16"):
        events, state = history(assets, assets.specification(model=name, dtype=dtype))
        found[dtype] = values(events, "loss")
        assert all(t.dtype == torch.float32 and t.isfinite().all() for t in state.values())
    assert found["bf16"] == pytest.approx(found["fp32"], abs=0.1)
    assert found["bf16"] != found["fp32"]


def test_training_lowers_the_loss(assets: Assets) -> None:
    events, _ = history(assets, assets.specification(epochs=60))
    losses = values(events, "loss")
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("count", "evaluations", "expected"),
    [(10, 1, {10}), (10, 2, {5, 10}), (10, 3, {3, 7, 10}), (3, 9, {1, 2, 3}), (1, 1, {1})],
)
def test_evaluations_are_evenly_spaced(count: int, evaluations: int, expected: set[int]) -> None:
    assert evaluation_steps(count, evaluations) == expected


@pytest.mark.parametrize("evaluations", range(1, 30))
def test_there_are_as_many_evaluations_as_asked(evaluations: int) -> None:
    for count in range(1, 40):
        due = evaluation_steps(count, evaluations)
        assert len(due) == min(count, evaluations)
        assert max(due) == count
        assert min(due) >= 1


def test_a_run_evaluates_where_it_should(assets: Assets) -> None:
    events, _ = history(assets, assets.specification(epochs=2, evaluations=3))
    assert [e["step"] for e in events if "validation" in e] == [3, 5, 8]
    assert [e["step"] for e in events if "loss" in e] == list(range(1, 9))


@pytest.mark.parametrize(("checkpoint", "kept"), [("best", 4), ("last", 8)])
def test_the_kept_state_is_the_one_that_is_stored_and_tested(
    assets: Assets, checkpoint: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.9, 0.9, 0.3])
    monkeypatch.setattr(loop, "score", lambda *_: {"accuracy": Score(value=next(scores), n=21)})
    states = states_at_evaluations(monkeypatch)
    spec = assets.specification(
        model="bert", method="lora", epochs=2, evaluations=4, checkpoint=checkpoint
    )
    result = assets.run(spec, tmp_path)
    folder = run_folder(spec, tmp_path)
    assert result.metrics is not None
    assert result.metrics.best_step == kept
    assert result.metrics.validation["accuracy"].value == {4: 0.9, 8: 0.3}[kept]
    assert list(states) == [2, 4, 6, 8]
    stored = load_file(folder / DELTA_FILE)
    equal = {
        step: all(torch.equal(stored[name], tensor) for name, tensor in state.items())
        for step, state in states.items()
    }
    assert equal == {step: step == kept for step in states}
    for split in ("validation", "test"):
        check_predictions(assets, spec, folder, split, stored)


def states_at_evaluations(monkeypatch: pytest.MonkeyPatch) -> dict[int, State]:
    """Fills up with copies of what is trained, by the step of the evaluation."""
    states: dict[int, State] = {}
    plain = Trainer.evaluate

    def evaluate(self: Trainer, step: int) -> None:
        states[step] = {n: t.clone() for n, t in trainable_state(self.model).items()}
        plain(self, step)

    monkeypatch.setattr(Trainer, "evaluate", evaluate)
    return states


def check_predictions(
    assets: Assets, spec: Specification, folder: Path, split: Any, stored: State
) -> None:
    """The recorded logits are those of the stored tensors in a fresh model."""
    model = assets.applied(spec)
    load_trainable(model, stored)
    examples = assets.splits("bert")[split]
    said = predict(model, examples, 64, CPU, "fp32")
    expected = torch.tensor([row["logits"] for row in said])
    rows = [r for r in pq.read_table(folder / PREDICTIONS_FILE).to_pylist() if r["split"] == split]
    assert [row["id"] for row in rows] == examples.ids
    assert [{"label": row["label"]} for row in rows] == examples.truths
    assert [row["prediction"] for row in rows] == expected.argmax(dim=1).tolist()
    found = torch.tensor([row["logits"] for row in rows])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_the_record_sums_the_history_up(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification(epochs=3)
    result = assets.run(spec, tmp_path)
    norms = values(read_history(run_folder(spec, tmp_path)), "gradient_norm")
    found = result.gradients
    assert found is not None
    assert (found.first, found.last) == (norms[0], norms[-1])
    assert (found.minimum, found.maximum) == (min(norms), max(norms))
    assert found.median == pytest.approx((sorted(norms)[5] + sorted(norms)[6]) / 2)
