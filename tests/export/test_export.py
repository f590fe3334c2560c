"""A run's model in a folder: what other libraries load says what the run's predictions say."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner

from finegrid.cli.main import app
from finegrid.cli.shared import EXIT_CONFIGURATION
from finegrid.records.result import DELTA_FILE, PREDICTIONS_FILE, Result
from finegrid.records.specification import Specification, model_key
from tests.training.assets import LABELS, Assets, run_folder

RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lora": ("lora", "bert", {"rank": 2}),
    "bitfit": ("bitfit", "bert", {}),
    "prompt": ("prompt", "bert", {"length": 2}),
    "network": ("lora", "network", {"rank": 2, "targets": ["linear"]}),
}


@pytest.fixture(scope="module")
def results(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs."""
    folder = tmp_path_factory.mktemp("exported")
    for name in RUNS:
        assets.run(specification(assets, name), folder)
    return folder


def specification(assets: Assets, name: str) -> Specification:
    method, model, settings = RUNS[name]
    return assets.specification(method, model=model, settings=settings, learning_rate=0.05)


def export(assets: Assets, results: Path, name: str, *options: str) -> tuple[int, str]:
    """The command on a run; its exit code and what it says."""
    run = specification(assets, name).run
    where = ["--results", str(results), "--prepared", str(assets.prepared)]
    done = CliRunner().invoke(app, ["export", run, *where, *options])
    return done.exit_code, " ".join(done.output.split())


def base(assets: Assets, name: str) -> nn.Module:
    folder = assets.prepared / "models" / model_key(specification(assets, name).model)
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(LABELS)
    )
    return model


def check_predictions(model: nn.Module, assets: Assets, results: Path, name: str) -> None:
    """The model's logits on validation are those that the run stored."""
    stored = pd.read_parquet(run_folder(specification(assets, name), results) / PREDICTIONS_FILE)
    rows = stored[stored["split"] == "validation"]
    examples = assets.splits("bert")["validation"]
    assert list(rows["id"]) == examples.ids
    with torch.no_grad():
        found = model.eval()(**examples.batch(range(len(examples))).inputs).logits
    expected = torch.tensor(rows["logits"].tolist())
    torch.testing.assert_close(found.double(), expected.double(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["lora", "prompt"])
def test_peft_loads_the_adapter(assets: Assets, results: Path, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    assert export(assets, results, name, "--format", "peft", "--output", str(folder))[0] == 0
    loaded = PeftModel.from_pretrained(base(assets, name), str(folder))
    check_predictions(loaded, assets, results, name)


@pytest.mark.parametrize("name", ["lora", "bitfit"])
def test_transformers_loads_the_merged_model(
    assets: Assets, results: Path, name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "merged"
    assert export(assets, results, name, "--format", "merged", "--output", str(folder))[0] == 0
    loaded = AutoModelForSequenceClassification.from_pretrained(folder)
    check_predictions(loaded, assets, results, name)
    assert loaded.config.architectures == ["BertForSequenceClassification"]
    assert AutoTokenizer.from_pretrained(folder).pad_token_id == loaded.config.pad_token_id


def test_the_delta_is_what_the_run_stored(assets: Assets, results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "delta"
    assert export(assets, results, "lora", "--format", "delta", "--output", str(folder))[0] == 0
    stored = load_file(run_folder(specification(assets, "lora"), results) / DELTA_FILE)
    found = load_file(folder / DELTA_FILE)
    assert found.keys() == stored.keys()
    assert all(torch.equal(found[name], stored[name]) for name in stored)
    assert json.loads((folder / "specification.json").read_text())["variant"]["method"] == "lora"


def test_the_card_holds_result_comparison_and_provenance(
    assets: Assets, results: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "card"
    assert export(assets, results, "lora", "--format", "delta", "--output", str(folder))[0] == 0
    text = (folder / "README.md").read_text()
    record = run_folder(specification(assets, "lora"), results) / "result.json"
    result = Result.read(record)
    assert result.metrics
    score = result.metrics.test["accuracy"]
    assert score.standard_error
    low = score.value - 1.959964 * score.standard_error
    assert f"| accuracy | {score.value:.4f} | {low:.4f} to" in text
    assert all(f"| {variant} | " in text for variant in ("lora", "bitfit", "prompt"))
    assert str(result.provenance.model_sha256) in text
    assert str(result.record_sha256) in text


@pytest.mark.parametrize(
    ("name", "form", "message"),
    [
        ("bitfit", "peft", "--format peft: bitfit: peft has no such type; allowed: merged, delta"),
        ("prompt", "merged", "allowed: peft, delta"),
        ("network", "merged", "network is no model of transformers; allowed: delta"),
        ("lora", "gguf", "--format gguf: allowed: peft, merged, delta"),
    ],
)
def test_what_cannot_be_exported_is_one_error(
    assets: Assets, results: Path, name: str, form: str, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "none"
    status, output = export(assets, results, name, "--format", form, "--output", str(folder))
    assert status == EXIT_CONFIGURATION
    assert message in output
    assert not any(tmp_path.iterdir())


def test_a_folder_is_never_written_over(assets: Assets, results: Path, tmp_path: Path) -> None:
    status, output = export(assets, results, "lora", "--format", "delta", "--output", str(tmp_path))
    assert status == EXIT_CONFIGURATION
    assert "exists; allowed: a new folder" in output


def test_weights_that_have_changed_are_refused(
    assets: Assets, results: Path, tmp_path: Path
) -> None:
    delta = run_folder(specification(assets, "prompt"), results) / DELTA_FILE
    content = delta.read_bytes()
    delta.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        output = str(tmp_path / "none")
        status, text = export(assets, results, "prompt", "--format", "delta", "--output", output)
    finally:
        delta.write_bytes(content)
    assert status == EXIT_CONFIGURATION
    assert "delta.safetensors: sha256" in text
