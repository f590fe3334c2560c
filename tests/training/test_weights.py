"""Runs whose base is held in a half type: what they load, take of memory, keep and say."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from finegrid.models.head import head_parameters
from finegrid.models.live import anatomy_of
from finegrid.models.loading import base_sha256
from finegrid.models.precision import hold
from finegrid.records.prediction import Question
from finegrid.records.result import DELTA_FILE
from finegrid.records.specification import Pretraining, Specification
from finegrid.records.training import Training, Weights
from finegrid.training.measure.memory import tensor_bytes
from finegrid.training.measure.prediction import predict
from tests.training.assets import Assets, run_folder
from tests.training.interruptions import ask, assert_same_bits, interrupted

TYPES: dict[Weights, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def specification(
    assets: Assets, case: str, weights: Weights = "bf16", **options: Any
) -> Specification:
    model, method = case.split()
    settings = {"targets": ["linear"]} if case == "network lora" else {}
    given = {"dtype": "bf16", "weights": weights, "settings": settings}
    return assets.specification(method, model=model, **given | options)


@pytest.mark.parametrize("weights", TYPES)
@pytest.mark.parametrize("model", ["bert", "network"])
def test_a_base_is_rounded_once_and_the_head_and_norms_are_not(
    assets: Assets, model: str, weights: Weights
) -> None:
    exact = assets.plain(specification(assets, f"{model} full", "fp32"))
    held = assets.plain(specification(assets, f"{model} full", weights))
    kept = set(map(id, head_parameters(held)))
    for path in anatomy_of(held).norms:
        kept |= set(map(id, held.get_submodule(path).parameters()))
    pairs = zip(exact.named_parameters(), held.parameters(), strict=True)
    for (name, parameter), found in pairs:
        expected = torch.float32 if id(found) in kept else TYPES[weights]
        assert found.dtype == expected, name
        assert torch.equal(found, parameter.to(expected)), name
    assert 0 < len(kept) < len(list(held.parameters()))


def test_a_base_that_is_not_rounded_has_the_same_hash(assets: Assets) -> None:
    """As that of a checkpoint which is stored in bf16."""
    model = assets.plain(specification(assets, "bert full", "fp32"))
    plain = base_sha256(model)
    hold(model, "bf16")
    rounded = base_sha256(model)
    assert rounded != plain
    assert base_sha256(model.float()) == rounded


@pytest.mark.parametrize("case", ["bert full", "bert lora", "bert bitfit", "network full"])
def test_memory_is_what_the_types_say_and_is_predicted(
    assets: Assets, tmp_path: Path, case: str
) -> None:
    spec = specification(assets, case)
    result = assets.run(spec, tmp_path)
    memory, model = result.memory, assets.applied(spec)
    assert memory is not None
    trained = [p for p in model.parameters() if p.requires_grad]
    assert memory.weights_bytes == tensor_bytes([*model.parameters(), *model.buffers()])
    assert memory.gradients_bytes == tensor_bytes(trained)
    steps = 4 * len(trained)  # Adam counts them for each tensor
    assert memory.optimizer_bytes == 2 * tensor_bytes(trained) + steps
    found = predict(Question(spec=spec, batch=memory.batch))
    assert found.peak_bytes == pytest.approx(memory.peak_training_bytes, rel=0.04)
    assert memory.weights_bytes < 0.6 * 4 * sum(p.numel() for p in model.parameters())
    delta = load_file(run_folder(spec, tmp_path) / DELTA_FILE)
    assert {name: tensor.dtype for name, tensor in delta.items()} == {
        name: p.dtype for name, p in model.named_parameters() if p.requires_grad
    }


@pytest.mark.parametrize(("case", "weights"), [("bert full", "bf16"), ("bert lora", "fp16")])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    assets: Assets, tmp_path: Path, case: str, weights: Weights
) -> None:
    spec = specification(assets, case, weights, dropout=0.3)
    assets.run(spec, tmp_path / "whole")
    assert interrupted(assets, spec, tmp_path, ("step", 2), ask()) == os.EX_TEMPFAIL
    assert assets.main(spec, tmp_path) == 0
    assert assert_same_bits(spec, tmp_path / "whole", tmp_path).resumed_at_steps == (2,)


def test_both_models_of_an_inference_are_held_the_same_way(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[torch.dtype]] = []

    def measured(model: Any, base: Any, *_: Any) -> Any:
        seen.extend({p.dtype for p in one.parameters()} for one in (model, base))
        raise InterruptedError

    monkeypatch.setattr("finegrid.training.measure.costs.measure_inference", measured)
    with pytest.raises(InterruptedError):
        assets.perform(specification(assets, "bert lora"), tmp_path)
    assert seen == [{torch.bfloat16, torch.float32}] * 2


TRAINING = {"learning_rate": 0.1, "epochs": 1, "batch_size": 16}


@pytest.mark.parametrize("weights", TYPES)
def test_half_weights_that_nothing_converts_are_refused(weights: Weights) -> None:
    allowed = "allowed: dtype: bf16, or weights: fp32"
    with pytest.raises(ValidationError, match=f"weights: {weights} with dtype: fp32, .*{allowed}"):
        Training.model_validate(TRAINING | {"weights": weights})


def test_a_pretraining_is_in_fp32(assets: Assets) -> None:
    training = specification(assets, "network full").training
    with pytest.raises(ValidationError, match="weights: bf16 for a pretraining; allowed: fp32"):
        Pretraining(task=assets.tasks["network"], training=training)


def test_the_default_leaves_no_trace(assets: Assets) -> None:
    """Names of runs are hashes of what is written."""
    assert "weights" not in Training.model_validate(TRAINING).model_dump(mode="json")
    plain, held = (specification(assets, "network full", one) for one in ("fp32", "bf16"))
    assert plain.run != held.run
