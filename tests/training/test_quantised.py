"""Runs whose base is held in codes: what they load, learn, take of memory, keep and export."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner

from analysis.comparability import fingerprint_fields, libraries
from finegrid.cli.main import app
from finegrid.models.quantised import QuantisedLinear
from finegrid.records.prediction import Question
from finegrid.records.result import DELTA_FILE
from finegrid.records.specification import Specification, model_key
from finegrid.records.training import Training, Weights
from finegrid.training.measure.memory import tensor_bytes
from finegrid.training.measure.prediction import predict
from tests.training.assets import LABELS, Assets, read_history, run_folder, steps
from tests.training.interruptions import ask, assert_same_bits, interrupted

TRAINING = {"learning_rate": 0.1, "epochs": 1, "batch_size": 16}
FAST: dict[str, Any] = {"learning_rate": 0.05, "dropout": 0.0}


@pytest.fixture(autouse=True)
def _library(request: pytest.FixtureRequest) -> None:
    """Tests of what is refused need it not."""
    if "assets" in request.fixturenames:
        pytest.importorskip("bitsandbytes", reason="bitsandbytes holds weights in codes")


def specification(
    assets: Assets, method: str = "lora", weights: Weights = "nf4", **options: Any
) -> Specification:
    return assets.specification(method, model="bert", **{"weights": weights} | options)


def losses(assets: Assets, spec: Specification, folder: Path) -> list[float]:
    assets.run(spec, folder)
    return [event["loss"] for event in steps(read_history(run_folder(spec, folder)))]


@pytest.mark.parametrize(
    ("weights", "dtype"),
    [
        ("nf4", "fp32"),
        *(
            pytest.param(
                *one, marks=pytest.mark.thorough("test_a_run_learns_and_is_recorded_as_it_was_held")
            )
            for one in (("int8", "fp32"), ("int8", "bf16"), ("nf4", "bf16"))
        ),
    ],
)
def test_a_run_learns_and_is_recorded_as_it_was_held(
    assets: Assets, tmp_path: Path, weights: Weights, dtype: str
) -> None:
    """Memory is that of the codes and is predicted, the counts are the architecture's."""
    spec = specification(assets, weights=weights, dtype=dtype, epochs=4, **FAST)
    result = assets.run(spec, tmp_path)
    seen = [event["loss"] for event in steps(read_history(run_folder(spec, tmp_path)))]
    assert sum(seen[-3:]) < 0.7 * sum(seen[:3])

    plain = assets.plain(specification(assets, weights="fp32"))
    assert result.parameters is not None
    assert result.parameters.base == sum(p.numel() for p in plain.parameters())
    assert result.parameters.trainable == result.parameters.expected

    memory, model = result.memory, assets.applied(spec)
    assert memory is not None
    assert memory.weights_bytes == tensor_bytes([*model.parameters(), *model.buffers()])
    coded = [one for one in model.modules() if isinstance(one, QuantisedLinear)]
    assert len(coded) == 12
    assert {one.held_in for one in coded} == {weights}
    size = sum(one.in_features * one.out_features for one in coded)
    rows = sum(one.out_features for one in coded)
    packed = size + 4 * rows if weights == "int8" else size // 2 + size // 64 * 4
    added = sum(p.nbytes for name, p in model.named_parameters() if ".lora." in name)
    kept = tensor_bytes([*plain.parameters(), *plain.buffers()]) - 4 * size
    assert memory.weights_bytes == packed + kept + added
    found = predict(Question(spec=spec, batch=memory.batch))
    assert found.peak_bytes == pytest.approx(memory.peak_training_bytes, rel=0.04)
    assert memory.predicted_peak_bytes == found.peak_bytes

    assert result.inference is not None
    assert result.inference.merged_seconds is None
    assert f"no longer held in {weights}" in str(result.inference.merged_reason)
    assert libraries(result)["bitsandbytes"] == result.provenance.packages["bitsandbytes"]


def test_scores_of_other_codes_do_not_compare(assets: Assets, tmp_path: Path) -> None:
    held: list[dict[str, Any]] = [{"weights": "fp32"}, {}, {"double_quantisation": True}]
    specs = [specification(assets, "head", **how) for how in held]
    found = [fingerprint_fields(assets.run(spec, tmp_path)) for spec in specs]
    assert [(one.get("weights"), one.get("double_quantisation")) for one in found] == [
        (None, None),
        ("nf4", None),
        ("nf4", "True"),
    ]
    assert len({one["model_sha256"] for one in found}) == 3


def test_an_interrupted_run_goes_on_to_the_same_bits(assets: Assets, tmp_path: Path) -> None:
    spec = specification(assets, double_quantisation=True, dropout=0.3)
    assets.run(spec, tmp_path / "whole")
    assert interrupted(assets, spec, tmp_path, ("step", 2), ask()) == os.EX_TEMPFAIL
    assert assets.main(spec, tmp_path) == 0
    assert assert_same_bits(spec, tmp_path / "whole", tmp_path).resumed_at_steps == (2,)


def test_checkpointed_gradients_are_the_same(assets: Assets, tmp_path: Path) -> None:
    plain, sparing = (
        losses(assets, specification(assets, gradient_checkpointing=one, **FAST), tmp_path)
        for one in (False, True)
    )
    assert plain == sparing


def test_an_export_is_de_quantised_and_says_so(assets: Assets, tmp_path: Path) -> None:
    spec = specification(assets, double_quantisation=True, **FAST)
    assets.run(spec, tmp_path)
    delta = load_file(run_folder(spec, tmp_path) / DELTA_FILE)
    assert all("packed" not in name for name in delta)
    for name in ("merged", "peft"):
        where = ["--results", str(tmp_path), "--prepared", str(assets.prepared)]
        folder = tmp_path / name
        options = ["--format", name, "--output", str(folder)]
        done = CliRunner().invoke(app, ["export", spec.run, *where, *options])
        assert done.exit_code == 0, done.output
        card = " ".join((folder / "README.md").read_text().split())
        assert "The run held the base's linear layers in nf4, its constants quantised too" in card
    examples = assets.splits("bert")["validation"].batch(range(8))
    model = assets.applied(spec)
    model.load_state_dict(delta, strict=False)
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    with torch.no_grad():
        expected, found = (one.eval()(**examples.inputs).logits for one in (model, merged))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)

    base = AutoModelForSequenceClassification.from_pretrained(
        assets.prepared / "models" / model_key(spec.model), num_labels=len(LABELS)
    )
    with torch.no_grad():
        other = PeftModel.from_pretrained(base, str(tmp_path / "peft")).eval()
        assert not torch.allclose(other(**examples.inputs).logits, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"weights": "int8", "double_quantisation": True},
            "double_quantisation: true with weights",
        ),
        ({"double_quantisation": True}, "allowed: weights: nf4, or double_quantisation: false"),
        (
            {"weights": "nf4", "strategy": "fsdp", "devices": 2},
            "weights: nf4 with strategy: fsdp, .*; allowed: strategy: ddp",
        ),
        ({"weights": "int8", "device": "mps"}, "on device: mps, .*allowed: device: cpu, cuda"),
    ],
)
def test_what_codes_do_not_go_with_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Training.model_validate(TRAINING | given)


def test_the_default_leaves_no_trace() -> None:
    """Names of runs are hashes of what is written."""
    written = Training.model_validate(TRAINING | {"weights": "nf4"}).model_dump(mode="json")
    assert written["weights"] == "nf4"
    assert "double_quantisation" not in written
