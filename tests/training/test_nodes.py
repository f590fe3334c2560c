"""A run over several nodes, which a stand-in for `srun` starts on this one."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from records.result import FAILURE_FILE, RESULT_FILE, Result
from records.specification import Specification, Training
from tests.training.assets import Assets, read_history, run_folder
from tests.training.interruptions import SHARED_OUTCOME, assert_same_bits, checkpoints
from training import nodes
from training.nodes import Report
from training.signals import Interruption

TRY_AGAIN, CONFIGURATION = os.EX_TEMPFAIL, os.EX_CONFIG
MEMBER = ["-m", "training.member"]
STAND_IN = Path(__file__).with_name("srun.py")
Patch = pytest.MonkeyPatch


@pytest.fixture
def allocation(tmp_path: Path, monkeypatch: Patch) -> None:
    """Of two nodes, as far as a run sees."""
    program = tmp_path / "bin" / "srun"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "1")


def specification(assets: Assets, count: int, **options: Any) -> Specification:
    given = {"dropout": 0.0, "epochs": 2, "evaluations": 2, "devices": count, "nodes": count}
    return assets.specification("lora", model="bert", **given | options)


def losses(spec: Specification, results: Path) -> list[float]:
    history = read_history(run_folder(spec, results))
    return [event["loss"] for event in history if "loss" in event]


@pytest.mark.usefixtures("allocation")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_nodes_train_as_one(assets: Assets, tmp_path: Path, strategy: str) -> None:
    one, two = specification(assets, 1), specification(assets, 2, strategy=strategy)
    expected, found = (assets.run(spec, tmp_path) for spec in (one, two))
    assert losses(two, tmp_path) == pytest.approx(losses(one, tmp_path), abs=1e-5)
    assert (found.metrics, found.parameters) == (expected.metrics, expected.parameters)
    assert found.files.keys() == expected.files.keys()
    assert found.damaged_files(run_folder(two, tmp_path)) == []


@pytest.mark.usefixtures("allocation")
def test_an_interrupted_run_goes_on_to_the_same_bits(
    assets: Assets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = specification(assets, 2, epochs=50, dropout=0.3)
    assets.run(spec, tmp_path / "whole")

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    assert while_it_runs(assets, spec, tmp_path, interrupt) == TRY_AGAIN
    told = f"{spec.run}: interrupted by SIGTERM; the next attempt goes on"
    assert caplog.messages[-1] == told
    assert not (run_folder(spec, tmp_path) / RESULT_FILE).exists()
    assert assets.main(spec, tmp_path) == 0
    result = assert_same_bits(spec, tmp_path / "whole", tmp_path, SHARED_OUTCOME)
    assert len(result.resumed_at_steps) == 1


@pytest.mark.usefixtures("allocation")
def test_a_node_that_is_lost_fails_the_run(assets: Assets, tmp_path: Path) -> None:
    spec = specification(assets, 2, epochs=300)

    def lose() -> None:
        processes = psutil.Process().children(recursive=True)
        members = [one for one in processes if one.cmdline()[1:] == MEMBER]
        assert len(members) == 2
        members[1].kill()

    assert while_it_runs(assets, spec, tmp_path, lose) == 1
    result = Result.read(run_folder(spec, tmp_path) / FAILURE_FILE)
    assert "of 2 nodes ended without a word" in (result.reason or "")
    assert psutil.wait_procs(psutil.Process().children(recursive=True), timeout=60)[1] == []


def while_it_runs(
    assets: Assets, spec: Specification, results: Path, action: Callable[[], None]
) -> int:
    """The exit code of a run in whose middle something happens."""

    def act() -> None:
        while not any(not path.name.startswith(".") for path in checkpoints(spec, results)):
            time.sleep(0.02)
        action()

    acting = threading.Thread(target=act)
    acting.start()
    try:
        return assets.main(spec, results, checkpoint_seconds=0)
    finally:
        acting.join()


def test_outside_an_allocation_there_is_one_node(
    assets: Assets, tmp_path: Path, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    spec = specification(assets, 2)
    assert assets.main(spec, tmp_path) == CONFIGURATION
    told = "nodes: 2; allowed: 1 outside an allocation of Slurm with srun"
    assert caplog.messages[-1] == f"{spec.run}: {told}"


@pytest.mark.parametrize(
    "report",
    [Report(code=None), Report(code=0), Report(preempted="SIGTERM")],
    ids=lambda one: one.model_dump_json(),
)
def test_what_all_nodes_report_comes_of_the_run(
    assets: Assets, monkeypatch: Patch, report: Report
) -> None:
    assert Report.of(lambda: said_by_nodes(assets, monkeypatch, [report, report])) == report


def test_the_node_on_which_one_process_ended_alone_decides(
    assets: Assets, monkeypatch: Patch
) -> None:
    alone = Report(ending=("oom", "there is no more", 3, 0))
    assert Report.of(lambda: said_by_nodes(assets, monkeypatch, [alone])) == alone
    other = Report(preempted="SIGTERM")
    assert Report.of(lambda: said_by_nodes(assets, monkeypatch, [other, alone])) == alone


def said_by_nodes(assets: Assets, patch: Patch, reports: list[Report]) -> int | None:
    """What comes of a run whose nodes report that."""
    lines = "\n".join(report.model_dump_json() for report in reports)
    patch.setattr(nodes, "_command", lambda count: [sys.executable, "-c", f"print({lines!r})"])
    patch.setattr("shutil.which", lambda name: name)
    patch.setenv("SLURM_JOB_ID", "1")
    training = specification(assets, 2).training
    return nodes.over_nodes(lambda meeting: meeting.endpoint, training, Interruption())


def test_nodes_have_as_many_devices_each() -> None:
    given = {"learning_rate": 0.1, "epochs": 1, "batch_size": 16, "devices": 4, "nodes": 3}
    with pytest.raises(ValidationError, match="nodes: 3 does not divide devices 4 evenly"):
        Training.model_validate(given)
