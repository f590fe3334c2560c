"""What is measured is what the run computes, in the run's precision."""

from pathlib import Path
from typing import Any

import pytest
import torch

from methods.registry import METHODS
from tests.training.assets import OWN_METHODS, Assets
from training.inference import measure_inference
from training.network import LinearStack, Output

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
    found = measure_inference(assets.applied(spec), method, examples, 8, CPU, "fp32")
    assert found.batch_examples == 8
    assert found.unmerged_seconds > 0
    assert (found.merged_seconds is not None) == method.mergeable
    assert (found.merged_reason is None) == method.mergeable
