"""What is measured is what the run computes, in the run's precision."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from finegrid.models.network import LinearStack, Output
from finegrid.training import experiment
from finegrid.training.measure import inference
from finegrid.training.measure.inference import measure_inference
from methods.registry import METHODS
from tests.training.assets import OWN_METHODS, Assets

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_every_forward_pass_of_a_run_has_its_precision(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    seen: list[torch.dtype] = []
    plain = LinearStack.forward

    def forward(self: LinearStack, features: torch.Tensor) -> Output:
        output = plain(self, features)
        seen.append(output.logits.dtype)
        return output

    monkeypatch.setattr(LinearStack, "forward", forward)
    assets.run(assets.specification(dtype=dtype), tmp_path)
    assert set(seen) == {torch.bfloat16 if dtype == "bf16" else torch.float32}


@pytest.mark.parametrize("name", OWN_METHODS)
def test_what_can_be_merged_is_measured_merged(assets: Assets, name: str) -> None:
    spec = assets.specification(name, model="bert")
    method = METHODS.build(name, {})
    examples: Any = assets.splits("bert")["validation"]
    models = assets.applied(spec), assets.plain(spec)
    found = measure_inference(*models, method, examples, 8, CPU, "fp32")
    assert found.batch_examples == 8
    assert found.unmerged_seconds > 0
    assert (found.merged_seconds is not None) == method.mergeable
    assert (found.merged_reason is None) == method.mergeable
    assert (found.merged_to_base is not None) == method.mergeable
    assert found.base_seconds
    assert found.unmerged_to_base
    assert found.rounds
    assert found.rounds >= 9
    assert len(found.unmerged_ratios) == found.rounds
    assert len(found.merged_ratios) == found.rounds * method.mergeable
    assert found.warm_up_rounds == 1


class Clock:
    """Seconds of each model on a machine that becomes slower and has a spike, call by call."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = seconds
        self.calls: list[str] = []
        self.merged = False
        self.base = nn.Identity()

    def __call__(self, model: Any, **_: Any) -> float:
        name = "base" if model is self.base else "merged" if self.merged else "unmerged"
        self.calls.append(name)
        slowness = 1 + 0.1 * ((len(self.calls) - 1) // 2) + (9 if len(self.calls) == 7 else 0)
        return self.seconds[name] * slowness

    def merge(self, model: Any) -> None:
        self.merged = True

    mergeable = True


def test_the_base_is_timed_in_turns_and_a_drift_of_the_machine_cancels(
    assets: Assets, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock: Any = Clock(unmerged=1.2, merged=1.04, base=1.0)
    monkeypatch.setattr(inference, "_seconds", clock)
    examples: Any = assets.splits()["validation"]
    found = measure_inference(nn.Identity(), clock.base, clock, examples, 8, CPU, "fp32")
    # The medians alone would call the merged model far slower than the base, which ran before.
    assert found.unmerged_to_base == pytest.approx(1.2)
    assert found.merged_to_base == pytest.approx(1.04)
    assert found.rounds == 9
    rounds = clock.calls[2:]
    assert rounds[:6] == ["unmerged", "base", "base", "unmerged", "unmerged", "base"]
    assert rounds[20:24] == ["merged", "base", "base", "merged"]
    assert len(rounds) == 2 * 2 * (1 + 9)


def test_a_base_that_does_not_fit_beside_the_model_ends_no_run(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = experiment.load_base, []

    def load(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(*arguments)

    monkeypatch.setattr(experiment, "load_base", load)
    result = assets.run(assets.specification("lora", settings={"targets": ["linear"]}), tmp_path)
    assert result.state == "ok"
    assert result.inference is not None
    assert result.inference.merged_seconds
    assert (result.inference.base_seconds, result.inference.merged_to_base) == (None, None)
    assert result.inference.base_reason == (
        "it does not fit beside the model: OutOfMemoryError: CUDA out of memory"
    )
