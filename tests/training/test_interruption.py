"""A run that is interrupted goes on to the bits that it would have reached without."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from finegrid.records.identity import file_sha256
from finegrid.records.result import (
    DELTA_FILE,
    HISTORY_FILE,
    PREDICTIONS_FILE,
    RESULT_FILE,
    SPECIFICATION_FILE,
    Result,
)
from finegrid.records.specification import Specification
from finegrid.training import provenance
from finegrid.training.loop import Trainer
from finegrid.training.processes.signals import SIGNALS, interruptible
from finegrid.training.state import checkpoint
from finegrid.training.state.checkpoint import Checkpoints
from finegrid.training.state.tensors import write_tensors
from tests.training.assets import Assets, run_folder
from tests.training.interruptions import (
    KilledError,
    ask,
    assert_same_bits,
    checkpoints,
    die,
    interrupted,
)

REPOSITORY = Path(__file__).parents[2]
TRY_AGAIN = os.EX_TEMPFAIL
Patch = pytest.MonkeyPatch


def specification(assets: Assets, model: str) -> Specification:
    """8 steps, scored after steps 3, 5 and 8."""
    options: dict[str, Any] = {"epochs": 2, "evaluations": 3, "micro_batch_size": 4}
    if model == "network":
        return assets.specification(**options, optimizer={"name": "sgd", "momentum": 0.9})
    settings = {"dropout": 0.2}
    return assets.specification("lora", model="bert", settings=settings, dropout=0.3, **options)


@pytest.fixture(scope="module")
def whole(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of both runs, uninterrupted."""
    results = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        for model in ("network", "bert"):
            assets.run(specification(assets, model), results)
    return results


@pytest.mark.parametrize(
    ("place", "step"),
    [
        (("step", 1), 1),
        (("step", 4), 4),
        (("step", 5), 5),
        (("evaluate", 2), 5),
        (("step", 8), 8),
        (("evaluate", 3), 8),
        (("probe", 1), 8),
    ],
    ids=str,
)
def test_a_network_goes_on_from_any_place(
    assets: Assets, whole: Path, tmp_path: Path, place: tuple[str, int], step: int
) -> None:
    spec = specification(assets, "network")
    assert interrupted(assets, spec, tmp_path, place, ask()) == TRY_AGAIN
    assert not (run_folder(spec, tmp_path) / RESULT_FILE).exists()
    (path,) = checkpoints(spec, tmp_path)
    assert path.stem == file_sha256(path)
    assert assets.main(spec, tmp_path) == 0
    assert assert_same_bits(spec, whole, tmp_path).resumed_at_steps == (step,)


def test_a_transformer_with_dropout_goes_on_again_and_again(
    assets: Assets, whole: Path, tmp_path: Path
) -> None:
    """Before, in and after an evaluation; each attempt counts its own calls."""
    spec = specification(assets, "bert")
    for place, sent in (
        (("step", 1), signal.SIGTERM),
        (("step", 2), signal.SIGUSR1),
        (("evaluate", 1), signal.SIGUSR2),
        (("step", 2), signal.SIGINT),
    ):
        assert interrupted(assets, spec, tmp_path, place, ask(sent)) == TRY_AGAIN
    assert interrupted(assets, spec, tmp_path, ("probe", 1), ask()) == TRY_AGAIN
    assert assets.main(spec, tmp_path) == 0
    assert assert_same_bits(spec, whole, tmp_path).resumed_at_steps == (1, 3, 3, 5, 8)


def test_a_process_that_is_gone_costs_what_came_after_the_last_checkpoint(
    assets: Assets, whole: Path, tmp_path: Path
) -> None:
    spec = specification(assets, "bert")
    with pytest.raises(KilledError):
        interrupted(assets, spec, tmp_path, ("step", 5), die, checkpoint_seconds=0)
    assert assets.main(spec, tmp_path) == 0
    assert assert_same_bits(spec, whole, tmp_path).resumed_at_steps == (4,)


def killed_as_it_writes(path: Path) -> None:
    """A process that is gone in the middle of writing that file."""
    code = (
        "import os, pathlib, signal, sys; from finegrid.records.write import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    line = [sys.executable, "-c", code, str(path)]
    assert subprocess.run(line, cwd=REPOSITORY, check=False).returncode == -signal.SIGKILL


def test_a_run_removes_the_files_that_a_killed_process_left_unfinished(
    assets: Assets, whole: Path, tmp_path: Path
) -> None:
    spec = specification(assets, "network")
    folder = run_folder(spec, tmp_path)
    for name in (SPECIFICATION_FILE, HISTORY_FILE, DELTA_FILE, PREDICTIONS_FILE, RESULT_FILE):
        killed_as_it_writes(folder / name)
    left = sorted(folder.iterdir())
    assert len(left) == 5
    with FileLock(folder / ".lock"):  # its holder may be writing them
        assert assets.main(spec, tmp_path) == TRY_AGAIN
    assert all(path.exists() for path in left)
    assert assets.main(spec, tmp_path) == 0
    assert [path.name for path in folder.glob(".*")] == [".lock"]
    assert_same_bits(spec, whole, tmp_path)


def test_a_request_before_the_first_step_is_obeyed_at_once(
    assets: Assets, whole: Path, tmp_path: Path, monkeypatch: Patch
) -> None:
    spec = specification(assets, "network")
    assert interrupted(assets, spec, tmp_path, ("step", 3), ask()) == TRY_AGAIN
    before = checkpoints(spec, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", lambda *_: pytest.fail("it was asked to end"))
        assert interrupted(assets, spec, tmp_path, ("load", 1), ask()) == TRY_AGAIN
    assert checkpoints(spec, tmp_path) == before
    assert assets.main(spec, tmp_path) == 0
    assert assert_same_bits(spec, whole, tmp_path).resumed_at_steps == (3,)


def test_further_signals_while_it_saves_tear_nothing(
    assets: Assets, whole: Path, tmp_path: Path, monkeypatch: Patch
) -> None:
    spec = specification(assets, "network")

    def disturbed(*arguments: Any) -> None:
        ask(*SIGNALS)()
        write_tensors(*arguments)
        ask(*SIGNALS)()

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_tensors", disturbed)
        assert interrupted(assets, spec, tmp_path, ("step", 4), ask()) == TRY_AGAIN
    (path,) = checkpoints(spec, tmp_path)
    assert path.stem == file_sha256(path)
    assert assets.main(spec, tmp_path) == 0
    assert_same_bits(spec, whole, tmp_path)


def test_the_signals_mean_what_they_did_once_the_run_is_over() -> None:
    before = {one: signal.getsignal(one) for one in SIGNALS}
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with interruptible() as interruption:
            names = []
            for one in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
                ask(one)()
                names.append(interruption.name)
        assert names == [None, "SIGUSR2", "SIGTERM"]
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before[signal.SIGUSR1])
    assert {one: signal.getsignal(one) for one in SIGNALS} == before


def test_the_checkpoint_of_another_run_is_not_gone_on_from(
    assets: Assets, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = specification(assets, "network").model_copy(update={"seed": 7})
    spec = specification(assets, "network")
    assert interrupted(assets, other, tmp_path, ("step", 4), ask()) == TRY_AGAIN
    (path,) = checkpoints(other, tmp_path)
    shutil.copytree(path.parent, run_folder(spec, tmp_path) / "checkpoint")
    assert assets.main(spec, tmp_path) == 0
    (line,) = (text for text in caplog.messages if "not gone on from" in text)
    assert f"run: {other.run}, here {spec.run}" in line
    assert assert_same_bits(spec, whole, tmp_path).resumed_at_steps == ()


def test_another_source_and_other_packages_do_not_go_on(
    assets: Assets,
    whole: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: Patch,
) -> None:
    spec = specification(assets, "network")
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "spec_digest", lambda spec: "0" * 64)
        patch.setattr(provenance, "version", lambda package: "0.0.1")
        assert interrupted(assets, spec, tmp_path, ("step", 4), ask()) == TRY_AGAIN
    assert assets.main(spec, tmp_path) == 0
    (line,) = (text for text in caplog.messages if "not gone on from" in text)
    assert f"source_digest: {'0' * 64}, here " in line
    assert "torch 0.0.1" in line
    assert torch.__version__.split("+")[0] in line
    assert assert_same_bits(spec, whole, tmp_path).resumed_at_steps == ()


def test_no_more_than_one_checkpoint_is_kept_and_none_of_a_recorded_run(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    spec, counts = assets.specification(), []
    plain = Checkpoints.save

    def save(self: Checkpoints, *arguments: Any) -> None:
        plain(self, *arguments)
        counts.append(len(list(self.folder.iterdir())))

    monkeypatch.setattr(Checkpoints, "save", save)
    assert assets.main(spec, tmp_path, checkpoint_seconds=0) == 0
    # After each of 4 steps, the evaluation, and two of the stages after training.
    assert counts == [1] * 7
    assert not (run_folder(spec, tmp_path) / "checkpoint").exists()


def test_a_trial_goes_on_as_well(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification(evaluations=2).model_copy(update={"role": "trial"})
    whole, part = (tmp_path / name for name in ("whole", "part"))
    expected = assets.run(spec, whole)
    assert interrupted(assets, spec, part, ("step", 3), ask()) == TRY_AGAIN
    found = assets.run(spec, part)
    assert (found.metrics, found.losses) == (expected.metrics, expected.losses)
    assert found.resumed_at_steps == (3,)


def test_the_record_holds_the_hashes_of_its_files_and_its_own(whole: Path, assets: Assets) -> None:
    folder = run_folder(specification(assets, "network"), whole)
    result = Result.read(folder / RESULT_FILE)
    names = {path.name for path in folder.iterdir()} - {".lock", RESULT_FILE, "specification.json"}
    assert result.files == {name: file_sha256(folder / name) for name in names}
    assert HISTORY_FILE in result.files
    assert result.sealed() == result


@pytest.mark.parametrize(
    "options",
    [{"attempt": 0}, {"attempts": 0}, {"checkpoint_seconds": -1}],
    ids=str,
)
def test_options_out_of_range_are_refused(
    assets: Assets, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, int]
) -> None:
    with pytest.raises(SystemExit):
        assets.main(assets.specification(), tmp_path, **options)
    assert "allowed: " in capsys.readouterr().err


def test_messages_say_what_happens(
    assets: Assets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    spec = assets.specification()
    interrupted(assets, spec, tmp_path, ("step", 2), ask())
    assert caplog.messages[-1] == f"{spec.run}: interrupted by SIGTERM; the next attempt goes on"
    assets.run(spec, tmp_path)
    assert f"{spec.run}: goes on after step 2" in caplog.messages
