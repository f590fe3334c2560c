"""What lies below all that is trained is computed once for all evaluations, to the same bits."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from finegrid.models.layers import blocks_of
from finegrid.training import features, loop
from finegrid.training.evaluation import say
from finegrid.training.loop import Event, Trained
from methods.parameters import trainable_state
from tests.training.frozen import SIZES, applied, train, trainer

TOP: dict[str, Any] = {"top_blocks": 1}
BATCHES = -(-SIZES["validation"] // 4)
PROBES = 3
"""The model is asked of a few examples, with all of it and to fill a tape, and of a batch again."""


class Counted:
    """A forward pass that counts its calls without a graph: those of evaluations."""

    def __init__(self, module: nn.Module) -> None:
        self.calls, self._forward = 0, module.forward
        module.__dict__["forward"] = self

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        self.calls += not torch.is_grad_enabled()
        return self._forward(*inputs, **named)


def run(
    model_type: str, method: str, settings: dict[str, Any], **options: Any
) -> tuple[list[Event], Trained, dict[str, torch.Tensor], int]:
    """The events, what training leaves, what is trained, and the evaluations' calls of a block."""
    events: list[Event] = []
    model = applied(model_type, method, settings)
    counted = Counted(blocks_of(model)[0])
    trained = train(trainer(model, model_type, events, **options))
    plain = [{key: value for key, value in event.items() if key != "seconds"} for event in events]
    return plain, trained, dict(trainable_state(model)), counted.calls


@pytest.fixture
def without_features(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets all be computed each time from now on."""
    return lambda: monkeypatch.setattr(loop, "find_features", lambda *_: None)


@pytest.mark.parametrize("method", ["head", "full", "lora"])
@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama", "vit"])
def test_evaluations_are_equal_to_the_bit(
    model_type: str, method: str, without_features: Callable[[], None]
) -> None:
    settings = {"head": {}, "full": TOP, "lora": {"rank": 2}}[method]
    found = run(model_type, method, settings)
    without_features()
    expected = run(model_type, method, settings)
    assert found[0] == expected[0]
    assert len({str(event.get("validation")) for event in expected[0]}) > 1
    assert found[1].best.said == expected[1].best.said
    for name, tensor in expected[2].items():
        assert torch.equal(found[2][name], tensor)
    assert expected[3] == 4 * BATCHES
    # the block is trained by LoRA, and computed each time
    assert found[3] <= (BATCHES + 3 + PROBES if method != "lora" else expected[3])


def test_what_nothing_reads_is_not_kept() -> None:
    """Of BERT without its last block, the input of this block: not what earlier modules gave."""
    model = applied("bert", "full", TOP)
    one = trainer(model, "bert", [])
    found = one._features
    assert found is not None
    with found.of(0):
        say(model, one.splits["validation"], [0, 1], one.device, "fp32")
    (kept,) = found.tapes[0].kept.values()
    length = max(one.splits["validation"].sizes[:2])
    assert kept.shape == (2, length, 64)


def test_more_than_the_budget_is_computed_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "BUDGET_BYTES", 1000)
    assert run("bert", "full", TOP)[3] >= 4 * BATCHES


def test_what_changes_between_evaluations_is_not_kept(without_features: Callable[[], None]) -> None:
    """As running means do, which no gradient tells of."""

    def results() -> list[Event]:
        events: list[Event] = []
        model = applied("bert", "head", {})
        (block, *_) = blocks_of(model)
        block.register_forward_hook(drift)
        train(trainer(model, "bert", events))
        return [
            event["validation"] | {"loss": event.get("loss")}
            for event in events
            if "validation" in event
        ]

    def drift(module: nn.Module, inputs: Any, output: Any) -> Any:
        steps = module.__dict__.setdefault("steps", [])
        steps.extend([1] * module.training)
        return output * (1 + len(steps))

    found = results()
    without_features()
    assert found == results()


def test_one_evaluation_keeps_nothing() -> None:
    assert trainer(applied("bert", "head", {}), "bert", [], evaluations=1)._features is None
