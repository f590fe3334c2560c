"""The mirror in Weights & Biases: what it holds, and that it never costs a run."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Never

import pytest
import wandb

from finegrid.records.result import RESULT_FILE, Result
from finegrid.records.specification import Specification
from finegrid.training import tracking
from finegrid.training.processes.exits import EXIT_CONFIGURATION
from finegrid.training.tracking import Tracker, mirror_mode, tag, tracking_id
from tests.training.assets import Assets, read_history, run_folder
from tests.training.interruptions import ask, interrupted
from tests.training.wandb_file import Mirror, read_mirror


@pytest.fixture(scope="module")
def offline(
    assets: Assets, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Specification, Path]]:
    """The folder of a run that was mirrored offline."""
    results = tmp_path_factory.mktemp("offline")
    spec = assets.specification("lora", model="bert", epochs=2, evaluations=2, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_MODE", raising=False)
        assert assets.main(spec, results) == 0
    yield spec, run_folder(spec, results)
    wandb.teardown()


@pytest.fixture(scope="module")
def mirror(offline: tuple[Specification, Path]) -> Mirror:
    return read_mirror(offline[1])


def test_the_mirror_holds_the_history(offline: tuple[Specification, Path], mirror: Mirror) -> None:
    expected = []
    for event in read_history(offline[1]):
        scores = {f"validation/{k}": v for k, v in event.pop("validation", {}).items()}
        step, layers = event.pop("step"), event.pop("layer_gradient_norms", {})
        norms = {f"train/layer_gradient_norms/{layer}": v for layer, v in layers.items()}
        steps = {f"train/{k}": v for k, v in event.items()}
        expected.append({"step": step} | scores | norms | steps)
    found = [{k: v for k, v in row.items() if not k.startswith("_")} for row in mirror.history]
    assert len(expected) == 10
    assert found == expected


def test_the_mirror_knows_the_run(offline: tuple[Specification, Path], mirror: Mirror) -> None:
    spec, run = offline[0], mirror.run
    assert (run.run_id, run.project) == (tracking_id(spec), "finegrid")
    assert (run.display_name, run.run_group, run.job_type) == (spec.run, spec.cell, "run")
    assert set(run.tags) == {"films", "bert", "lora"}
    config = {k: v for k, v in mirror.config.items() if not k.startswith("_")}
    assert config == spec.model_dump(mode="json")


def test_the_summary_is_the_result(offline: tuple[Specification, Path], mirror: Mirror) -> None:
    result = Result.read(offline[1] / RESULT_FILE).model_dump(mode="json", exclude_none=True)
    assert mirror.exit_code == 0
    for part in ("state", "metrics", "parameters", "memory", "time", "inference", "gradients"):
        assert summary_part(mirror.summary, part) == result[part], part


def test_an_interrupted_run_has_one_mirror_with_the_whole_history(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    spec = assets.specification(evaluations=2)
    assert interrupted(assets, spec, tmp_path, ("step", 3), ask()) == 75
    assert assets.main(spec, tmp_path) == 0
    mirror = read_mirror(run_folder(spec, tmp_path))
    history = read_history(run_folder(spec, tmp_path))
    assert [row["step"] for row in mirror.history] == [event["step"] for event in history]
    assert len(history) == 6
    losses = [event["loss"] for event in history if "loss" in event]
    assert [row["train/loss"] for row in mirror.history if "train/loss" in row] == losses
    assert mirror.exit_code == 0


def summary_part(summary: dict[str, Any], part: str) -> Any:
    """One part of the summary, which may lie there whole or leaf by leaf."""
    if part in summary:
        return summary[part]
    nested: dict[str, Any] = {}
    for key, value in summary.items():
        first, *path, last = key.split("/")
        if first == part:
            inner = nested
            for name in path:
                inner = inner.setdefault(name, {})
            inner[last] = value
    return nested


def test_the_result_names_the_mirror(offline: tuple[Specification, Path]) -> None:
    found = Result.read(offline[1] / RESULT_FILE).tracking
    assert found is not None
    assert (found.mode, found.warning) == ("offline", None)
    assert found.run_id == tracking_id(offline[0])


def test_the_id_is_that_of_the_specification(assets: Assets) -> None:
    ids = {tracking_id(assets.specification(seed=seed)) for seed in (0, 1, 1)}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in ids)


class Breaking:
    """A run of Weights & Biases of which one part raises."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.calls: list[str] = []
        self.summary = SimpleNamespace(update=lambda values: self._call("summary"))

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.part:
            raise OSError(f"{name}: no space left")

    def init(self, **settings: Any) -> "Breaking":
        self._call("init")
        return self

    def define_metric(self, *args: Any, **kwargs: Any) -> None:
        self._call("define")

    def log(self, values: dict[str, Any]) -> None:
        self._call("log")

    def finish(self, **kwargs: Any) -> None:
        self._call("finish")


@pytest.mark.parametrize("part", ["init", "define", "log", "summary", "finish"])
def test_a_tracker_that_breaks_costs_a_warning_only(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    spec = assets.specification()
    expected = assets.run(spec, tmp_path / "quiet")
    broken = Breaking(part)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(wandb, "init", broken.init)
    result = assets.run(spec, tmp_path / "broken")
    assert result.tracking is not None
    assert result.tracking.warning == f"OSError: {part}: no space left"
    assert broken.calls.count(part) == 1
    for name in ("state", "metrics", "parameters", "memory", "gradients"):
        assert getattr(result, name) == getattr(expected, name)


@pytest.mark.parametrize(
    ("variables", "mode"),
    [
        ({}, "offline"),
        ({"WANDB_MODE": ""}, "offline"),
        ({"WANDB_MODE": "online"}, "online"),
        ({"WANDB_MODE": "dryrun"}, "offline"),
        ({"WANDB_MODE": "run"}, "online"),
        ({"WANDB_MODE": "disabled"}, "disabled"),
        ({"WANDB_DISABLED": "true"}, "disabled"),
        ({"WANDB_DISABLED": "1", "WANDB_MODE": "online"}, "disabled"),
        ({"WANDB_DISABLED": "True", "WANDB_MODE": "nonsense"}, "disabled"),
        ({"WANDB_DISABLED": "false", "WANDB_MODE": "online"}, "online"),
        ({"WANDB_DISABLED": ""}, "offline"),
    ],
)
def test_the_variables_mean_what_they_mean_in_wandb(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], mode: str
) -> None:
    for name in ("WANDB_MODE", "WANDB_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert mirror_mode() == mode
    word = variables.get("WANDB_MODE")
    if word and "WANDB_DISABLED" not in variables:  # which this version leaves to older ones
        assert wandb.Settings(mode=word)._offline == (mode == "offline")
        assert wandb.Settings(mode=word)._noop == (mode == "disabled")


def test_a_mode_that_does_not_exist_ends_a_run_before_it_begins(
    assets: Assets,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "nonsense")
    assert assets.main(assets.specification(), tmp_path) == EXIT_CONFIGURATION
    assert "WANDB_MODE: 'nonsense' is not allowed; allowed: offline, online" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["given.json"]


@pytest.mark.parametrize("length", [1, 64, 65, 121])
def test_a_tag_is_one_that_wandb_takes(length: int) -> None:
    name = "a" * length
    assert wandb.Settings(run_tags=[tag(name)]).run_tags == (tag(name),)
    assert (tag(name) == name) == (length <= 64)


def test_long_tags_stay_apart() -> None:
    names = ["a" * 100 + end for end in ("", "-1", "-2")]
    assert len(set(map(tag, names))) == 3


def test_long_names_keep_their_mirror(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest names that a plan allows."""
    given: dict[str, Any] = {}

    def init(**options: Any) -> Any:
        given.update(options)
        return SimpleNamespace(define_metric=lambda *_, **__: None)

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(wandb, "init", init)
    spec = assets.specification()
    spec = spec.model_copy(
        update={
            "task": spec.task.model_copy(update={"name": "t" * 70}),
            "variant": spec.variant.model_copy(update={"name": "v" * 30}),
        }
    )
    assert Tracker(spec, tmp_path, spec).warning is None
    settings = wandb.Settings(
        run_tags=given["tags"],
        run_name=given["name"],
        run_group=given["group"],
        run_id=given["id"],
        project=given["project"],
    )
    assert settings.run_tags == tuple(given["tags"])
    assert max(len(given[key]) for key in ("name", "group", "id", "project")) <= 128


def test_a_disabled_mirror_starts_nothing(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb, "init", lambda **_: pytest.fail("it is disabled"))
    spec = assets.specification()
    tracker = Tracker(spec, tmp_path, spec)
    tracker.log({"step": 1, "loss": 0.5})
    assert tracker.record().warning is None
    assert list(tmp_path.iterdir()) == []


def test_a_server_out_of_reach_costs_a_warning_only(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> Never:
        raise AssertionError("nothing is sent after the first failure")

    values = {"MODE": "online", "BASE_URL": "http://127.0.0.1:9", "API_KEY": "0" * 40}
    for name, value in values.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    assert tracking._INIT_TIMEOUT_SECONDS <= 60
    monkeypatch.setattr(tracking, "_INIT_TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(wandb.Run, "log", refuse)
    spec = assets.specification()
    result = assets.run(spec, tmp_path)
    wandb.teardown()
    assert result.state == "ok"
    assert result.tracking is not None
    assert result.tracking.warning is not None
    assert "CommError" in result.tracking.warning
