"""How a run ends, what it leaves then, and what its process says."""

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Never

import pytest
import torch

from finegrid.records.result import (
    DELTA_FILE,
    FAILURE_FILE,
    HISTORY_FILE,
    PREDICTIONS_FILE,
    RESULT_FILE,
    SPECIFICATION_FILE,
    Result,
    Score,
)
from finegrid.records.specification import Specification, model_key
from finegrid.training import evaluation, experiment, loop
from finegrid.training.loop import Trainer
from tests.training.assets import Assets, read_history, run_folder
from tests.training.interruptions import at_step

NO_NUMBER = torch.tensor(float("nan"), requires_grad=True)
CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"
Patch = pytest.MonkeyPatch


def raiser(error: BaseException) -> Callable[..., Never]:
    def action(*args: Any, **kwargs: Any) -> Never:
        raise error

    return action


def not_json(constant: str) -> Never:
    raise AssertionError(f"{constant} is no JSON")


def test_an_ok_run_leaves_its_files_and_the_result_last(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    written: list[str] = []
    plain = Path.replace

    def spy(self: Path, target: Path) -> Path:
        written.append(target.name)
        return plain(self, target)

    monkeypatch.setattr(Path, "replace", spy)
    spec = assets.specification()
    result = assets.run(spec, tmp_path)
    assert result.state == "ok"
    assert result.reason is None
    files = [HISTORY_FILE, PREDICTIONS_FILE, DELTA_FILE, SPECIFICATION_FILE, RESULT_FILE]
    assert written[-1] == RESULT_FILE
    assert set(files) <= set(written)
    folder = run_folder(spec, tmp_path)
    assert {path.name for path in folder.iterdir()} - {".lock"} == set(files)
    assert Specification.read(folder / SPECIFICATION_FILE) == spec
    assert result.parameters is not None
    assert result.parameters.stored_bytes == (folder / DELTA_FILE).stat().st_size


def test_an_operation_that_no_deterministic_form_is_there_of_is_tolerated_and_recorded(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    """As some are on CUDA; the words are those of torch's Context.cpp."""
    spec, plain = assets.specification(), Trainer.loss
    expected = assets.run(spec, tmp_path / "expected")

    def loss(self: Trainer, indices: list[int]) -> torch.Tensor:
        if not torch.is_deterministic_algorithms_warn_only_enabled():
            raise RuntimeError(
                "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but "
                "you set 'torch.use_deterministic_algorithms(True)'."
            )
        return plain(self, indices)

    monkeypatch.setattr(Trainer, "loss", loss)
    result = assets.run(spec, tmp_path / "found")
    assert expected.provenance.deterministic
    assert not result.provenance.deterministic
    assert (result.metrics, result.losses) == (expected.metrics, expected.losses)


def test_a_result_is_strict_json(assets: Assets, tmp_path: Path, monkeypatch: Patch) -> None:
    at_step(2, lambda: NO_NUMBER, monkeypatch)
    spec = assets.specification()
    assets.run(spec, tmp_path)
    for name in (RESULT_FILE, HISTORY_FILE):
        for line in (run_folder(spec, tmp_path) / name).read_text().splitlines():
            assert "NaN" not in line
            assert "Infinity" not in line
    text = (run_folder(spec, tmp_path) / RESULT_FILE).read_text()
    json.loads(text, parse_constant=not_json)


@pytest.mark.parametrize("model", ["bert", "network"])
def test_a_senseless_learning_rate_diverges(assets: Assets, tmp_path: Path, model: str) -> None:
    result = assets.run(assets.specification(model=model, learning_rate=1e30), tmp_path)
    assert result.state == "diverged"
    assert result.failed_step in (1, 2)


def test_logits_that_are_no_numbers_are_a_divergence(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(loop, "predict", lambda *_: [{"logits": [math.nan] * 3}] * 21)
    result = assets.run(assets.specification(evaluations=2), tmp_path)
    assert (result.state, result.failed_step) == ("diverged", 2)


def without_a_score(calls: set[int], monkeypatch: Patch) -> None:
    """Let the metric have no value at these calls, counted from one; None stands for all."""
    numbers = itertools.count(1)

    def failing(*arguments: Any) -> Score:
        if next(numbers) in calls:
            raise evaluation.UndefinedScoreError("pearson has no value on 21 predictions")
        return original(*arguments)

    original = evaluation.compute_rows
    monkeypatch.setattr(evaluation, "compute_rows", failing)


def test_a_state_without_a_score_is_passed_over(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    without_a_score({1}, monkeypatch)
    spec = assets.specification(evaluations=2)
    result = assets.run(spec, tmp_path)
    assert result.state == "ok"
    assert result.metrics is not None
    assert result.metrics.best_step == 4
    events = read_history(run_folder(spec, tmp_path))
    found = [event["validation"] for event in events if "validation" in event]
    assert found[0] == {"accuracy": None}
    assert found[1]["accuracy"] is not None


@pytest.mark.parametrize(
    ("calls", "checkpoint"), [({1, 2}, "best"), ({2}, "last"), ({3}, "best")], ids=str
)
def test_no_score_in_the_end_is_undefined_and_no_divergence(
    assets: Assets, tmp_path: Path, monkeypatch: Patch, calls: set[int], checkpoint: str
) -> None:
    without_a_score(calls, monkeypatch)
    result = assets.run(assets.specification(evaluations=2, checkpoint=checkpoint), tmp_path)
    assert result.state == "undefined"
    assert result.reason is not None
    assert result.reason.startswith(("accuracy has no value on validation", "test: "))
    assert (result.metrics, result.failed_step) == (None, None)
    assert result.losses is not None
    assert result.gradients is not None


def test_the_last_step_counts_where_the_last_is_kept(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    without_a_score({1}, monkeypatch)
    result = assets.run(assets.specification(evaluations=2, checkpoint="last"), tmp_path)
    assert result.state == "ok"
    assert result.metrics is not None
    assert result.metrics.best_step == 4


def test_a_further_metric_without_a_value_is_missing_alone() -> None:
    rows = [{"label": label, "prediction": 0} for label in (0, 0, 1)]
    found = evaluation.score(rows, ("accuracy", "pearson"))
    assert {name: (one.value, one.n) for name, one in found.items()} == {"accuracy": (2 / 3, 3)}
    with pytest.raises(evaluation.UndefinedScoreError, match="pearson has no value"):
        evaluation.score(rows, ("pearson", "accuracy"))


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB"),
    RuntimeError(CPU_MESSAGE),
    MemoryError(),
    MemoryError("no room\nat all"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=repr)
def test_memory_running_out_is_a_result(
    assets: Assets, tmp_path: Path, monkeypatch: Patch, error: Exception
) -> None:
    monkeypatch.setattr(Trainer, "loss", raiser(error))
    spec = assets.specification()
    result = assets.run(spec, tmp_path)
    assert (result.state, result.failed_step, result.micro_batch_size) == ("oom", 1, 1)
    assert result.reason
    assert "\n" not in result.reason
    assert read_history(run_folder(spec, tmp_path)) == []


def test_a_bug_is_a_failure_and_not_a_result(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    spec = assets.specification()
    folder = run_folder(spec, tmp_path)
    assets.run(spec, tmp_path)
    with monkeypatch.context() as patch:
        at_step(2, raiser(RuntimeError("mat1 and mat2")), patch)
        assert assets.main(spec, tmp_path) == 1
    failure = Result.read(folder / FAILURE_FILE)
    assert (failure.state, failure.reason) == ("failed", "RuntimeError: mat1 and mat2")
    assert not (folder / RESULT_FILE).exists()
    assets.run(spec, tmp_path)
    assert not (folder / FAILURE_FILE).exists()


def test_a_closed_form_that_is_wrong_is_a_failure(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr("methods.head.Head.body_parameters", lambda *_: 1)
    spec = assets.specification("head")
    assert assets.main(spec, tmp_path) == 1
    failure = Result.read(run_folder(spec, tmp_path) / FAILURE_FILE)
    assert failure.reason == "RuntimeError: head: 33 trainable parameters, closed form 34"


@pytest.mark.parametrize("model", ["network", "bert"])
def test_a_damaged_manifest_or_tokenizer_is_damaged_data(
    assets: Assets, tmp_path: Path, model: str
) -> None:
    shutil.copytree(assets.prepared, tmp_path / "prepared")
    copy, spec = replace(assets, prepared=tmp_path / "prepared"), assets.specification(model=model)
    name = {"network": "manifest.json", "bert": "tokenizer.json"}[model]
    path = copy.prepared / "models" / model_key(spec.model) / name
    path.write_text(path.read_text().replace("{", "[", 1))
    assert copy.main(spec, tmp_path) == os.EX_DATAERR
    reason = Result.read(run_folder(spec, tmp_path) / FAILURE_FILE).reason
    assert reason is not None
    assert reason.startswith(f"CorruptedFileError: {path}: ")


def test_a_task_that_is_not_prepared_is_a_missing_file(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification()
    empty = replace(assets, prepared=tmp_path / "nothing")
    assert empty.main(spec, tmp_path) == os.EX_IOERR


def command(spec: Path, results: Path) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own; it ends before anything heavy is loaded."""
    line = [
        sys.executable,
        "-m",
        "finegrid.training.run",
        "--spec",
        str(spec),
        "--results",
        str(results),
    ]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("change", ["cut", "unknown key", "missing file"])
def test_a_broken_specification_has_its_own_code(
    assets: Assets, tmp_path: Path, change: str
) -> None:
    spec, path = assets.specification(), tmp_path / "spec.json"
    texts = {
        "cut": spec.model_dump_json()[:-1],
        "unknown key": json.dumps(spec.model_dump(mode="json") | {"extra": 1}),
    }
    if change in texts:
        path.write_text(texts[change])
    done = command(path, tmp_path / "results")
    assert done.returncode == os.EX_CONFIG
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_broken_plug_in_is_named_in_one_line(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    metadata = tmp_path / "plugins" / "broken_package-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-package\nVersion: 1.0")
    (metadata / "entry_points.txt").write_text("[finegrid.methods]\nbroken = no_such_module:A\n")
    root = Path(experiment.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (metadata.parent, root))))
    spec = assets.specification()
    spec.write(tmp_path / "spec.json")
    done = command(tmp_path / "spec.json", tmp_path)
    assert done.returncode == os.EX_CONFIG
    assert done.stderr == (
        f"{spec.run}: method plug-in 'broken' of broken-package 1.0 does not load: "
        "ModuleNotFoundError: No module named 'no_such_module'\n"
    )
    assert [path.name for path in run_folder(spec, tmp_path).iterdir()] == [".lock"]


@pytest.mark.parametrize("part", ["variant", "task"])
def test_a_name_that_is_not_installed_is_named_in_one_line(
    assets: Assets, tmp_path: Path, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    plain = assets.specification().model_dump(mode="json")
    kind = {"variant": "method", "task": "task"}[part]
    plain[part][kind] = "lost"
    spec = Specification.model_validate_json(json.dumps(plain))
    assert assets.main(spec, tmp_path) == os.EX_CONFIG
    (line,) = caplog.messages
    assert line.startswith(f"{spec.run}: unknown {kind} 'lost': ")
