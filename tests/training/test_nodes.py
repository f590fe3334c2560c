"""A run over several nodes, which a stand-in for `srun` starts on this one."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from finegrid.records.result import FAILURE_FILE, RESULT_FILE, Result
from finegrid.records.specification import Specification
from finegrid.records.training import Training
from finegrid.training.processes import nodes
from finegrid.training.processes.nodes import Report
from finegrid.training.processes.signals import Interruption
from tests.training.assets import Assets, run_folder
from tests.training.disturbances import forked_workers
from tests.training.interruptions import SHARED_OUTCOME, assert_same_bits, whole_checkpoints
from tests.warm.start import warm_python

TRY_AGAIN, CONFIGURATION = os.EX_TEMPFAIL, os.EX_CONFIG
AGENT = ["-m", "finegrid.training.processes.agent"]
INSIDE = """
import atexit, os, signal
from functools import partial
from multiprocessing.util import Finalize

from finegrid.training.processes import launch

plain = launch._worker

def worker(*given):
    os.write(1, b"a library's version\\n")
    Finalize(None, os.kill, (os.getpid(), signal.SIGUSR1), exitpriority=0)
    return plain(*given)

launch._worker = worker
launch.LaunchConfig = partial(launch.LaunchConfig, start_method="fork")
atexit.register(os.kill, os.getpid(), signal.SIGUSR1)
"""
"""Forks the workers, which spawned take ten seconds to load what the agents have loaded.

It lets them print, past Python, and sends them and the agents a request as they exit.
"""
STAND_IN = Path(__file__).with_name("srun.py")
Patch = pytest.MonkeyPatch


@pytest.fixture
def allocation(tmp_path: Path, monkeypatch: Patch) -> Iterator[None]:
    """Of two nodes, as far as a run sees, whose agents are disturbed by `INSIDE`."""
    program = tmp_path / "bin" / "srun"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "sitecustomize.py").write_text(INSIDE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "inside"), *sys.path]))
    with warm_python():
        yield


def specification(assets: Assets, count: int, **options: Any) -> Specification:
    given = {"dropout": 0.0, "epochs": 2, "evaluations": 2, "devices": count, "nodes": count}
    return assets.specification("lora", model="bert", **given | options)


def on_one_node(assets: Assets, spec: Specification, results: Path) -> Result:
    """The same run by two processes of one node, which `test_distributed.py` holds to one's."""
    training = spec.training.model_copy(update={"nodes": 1})
    alone = spec.model_copy(update={"training": training})
    with forked_workers():
        result = assets.run(alone, results)
    run_folder(alone, results).rename(run_folder(spec, results))
    return result


@pytest.mark.thorough("test_what_all_nodes_report_comes_of_the_run")
@pytest.mark.usefixtures("allocation")
def test_an_interrupted_run_goes_on_to_the_bits_of_one_node(
    assets: Assets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a library prints is no report, and a request that comes too late ends no process."""
    spec = specification(assets, 2, epochs=20, dropout=0.3)
    whole = on_one_node(assets, spec, tmp_path / "whole")

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    assert while_it_runs(assets, spec, tmp_path, interrupt) == TRY_AGAIN
    told = f"{spec.run}: interrupted by SIGTERM; the next attempt goes on"
    assert caplog.messages[-1] == told
    assert not (run_folder(spec, tmp_path) / RESULT_FILE).exists()
    assert assets.main(spec, tmp_path) == 0
    result = assert_same_bits(spec, tmp_path / "whole", tmp_path, SHARED_OUTCOME)
    assert len(result.resumed_at_steps) == 1
    assert result.files.keys() == whole.files.keys()
    assert result.damaged_files(run_folder(spec, tmp_path)) == []


@pytest.mark.thorough("test_a_node_that_says_nothing_fails_the_run")
@pytest.mark.usefixtures("allocation")
def test_a_node_that_is_lost_fails_the_run(assets: Assets, tmp_path: Path) -> None:
    spec = specification(assets, 2, epochs=300)
    # Other tests in this process may have left helpers, as that which tracks shared memory.
    others, processes = descendants(), set[psutil.Process]()

    def lose() -> None:
        processes.update(descendants() - others)
        lines = {one: one.cmdline() for one in processes}
        agents = [one for one, line in lines.items() if line[3:] == AGENT]
        assert len(agents) == 2
        agents[1].kill()

    assert while_it_runs(assets, spec, tmp_path, lose) == 1
    result = Result.read(run_folder(spec, tmp_path) / FAILURE_FILE)
    # The launcher ends the other one, which may have had its word before.
    assert "of 2 nodes ended without a word" in (result.reason or "")
    assert len(processes) >= 5, "the launcher, the agents and their workers"
    assert psutil.wait_procs(processes, timeout=60)[1] == []


def descendants() -> set[psutil.Process]:
    """Every process that comes of this one."""
    return set(psutil.Process().children(recursive=True))


def while_it_runs(
    assets: Assets, spec: Specification, results: Path, action: Callable[[], None]
) -> int:
    """The exit code of a run in whose middle something happens."""
    is_over = threading.Event()

    def act() -> None:
        while not whole_checkpoints(spec, results):
            if is_over.wait(0.02):
                return
        action()

    acting = threading.Thread(target=act)
    acting.start()
    try:
        return assets.main(spec, results, checkpoint_seconds=0)
    finally:
        is_over.set()
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
    [
        Report(code=None),
        Report(code=0),
        Report(preempted="SIGTERM"),
        Report(ending=("oom", "there is no more", 3, 0)),
    ],
    ids=lambda one: one.model_dump_json(),
)
def test_what_all_nodes_report_comes_of_the_run(
    assets: Assets, monkeypatch: Patch, report: Report
) -> None:
    assert Report.of(lambda: said_by_nodes(assets, monkeypatch, [report, report])) == report


@pytest.mark.parametrize(
    "cause",
    [Report(ending=("oom", "there is no more", 3, 0)), Report(lacking="n2: devices: 2")],
    ids=lambda one: one.model_dump_json(),
)
def test_the_node_that_ends_the_others_decides(
    assets: Assets, monkeypatch: Patch, cause: Report
) -> None:
    for reports in ([cause], [Report(preempted="SIGTERM"), cause]):
        said = partial(said_by_nodes, assets, monkeypatch, reports, 1)
        found = Report.of(said)
        assert (found.ending, found.lacking is None) == (cause.ending, cause.lacking is None)
        assert (cause.lacking or "") in (found.lacking or "")


@pytest.mark.parametrize(
    ("reports", "exit_code"),
    [
        ([], 7),
        ([Report(code=0)], 0),
        ([Report(code=None)], 0),
        ([Report(code=0)], 7),
        ([Report(preempted="SIGTERM")], 0),
    ],
    ids=str,
)
def test_a_node_that_says_nothing_fails_the_run(
    assets: Assets, monkeypatch: Patch, reports: list[Report], exit_code: int
) -> None:
    """Whatever the others say, and however well the launcher ends: nobody knows what it did."""
    found = Report.of(partial(said_by_nodes, assets, monkeypatch, reports, exit_code))
    silent = f"{2 - len(reports)} of 2 nodes ended without a word"
    reason = f"{silent}; exit code of srun: {exit_code}"
    assert found == Report(ending=("failed", reason, None, 1))


@pytest.mark.thorough("test_the_node_that_ends_the_others_decides")
@pytest.mark.usefixtures("allocation")
def test_a_node_that_lacks_devices_is_named(
    assets: Assets, tmp_path: Path, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "pretended")
    spec = specification(assets, 4, nodes=2, device="cuda")
    assert assets.main(spec, tmp_path) == CONFIGURATION
    told = "devices: 2; allowed: at most 1, which are visible"
    assert caplog.messages[-1] == f"{spec.run}: {socket.gethostname()}: {told}"


def test_a_step_asks_for_what_its_workers_take() -> None:
    given = {"learning_rate": 0.1, "epochs": 1, "batch_size": 16, "devices": 4, "nodes": 2}
    for device, gpus in (("cuda", {"--gpus-per-node=2"}), ("cpu", set())):
        training = Training.model_validate(given | {"device": device})
        options = set(nodes._command(training, threads=3)) - set(nodes._command(training, 1))
        assert options == {"--cpus-per-task=6"}
        assert {one for one in nodes._command(training, 3) if "gpus" in one} == gpus


def said_by_nodes(
    assets: Assets, patch: Patch, reports: list[Report], exit_code: int = 0
) -> int | None:
    """What comes of a run whose nodes report that."""
    lines = "".join(report.model_dump_json() + "\n" for report in reports)
    program = f"print({lines!r}, end=''); raise SystemExit({exit_code})"
    patch.setattr(nodes, "_command", lambda *given: [sys.executable, "-c", program])
    patch.setattr("shutil.which", lambda name: name)
    patch.setenv("SLURM_JOB_ID", "1")
    training = specification(assets, 2).training
    return nodes.run_on_nodes(lambda place: place.endpoint, training, 1, Interruption())


def test_nodes_have_as_many_devices_each() -> None:
    given = {"learning_rate": 0.1, "epochs": 1, "batch_size": 16, "devices": 4, "nodes": 3}
    with pytest.raises(ValidationError, match="nodes: 3 does not divide devices 4 evenly"):
        Training.model_validate(given)
