"""A run that is forked from a worker is the run of a process of its own, however it ends."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from finegrid.records.prepared import MANIFEST_FILE
from finegrid.records.result import RESULT_FILE, Result
from finegrid.records.specification import Specification
from finegrid.training.processes.client import (
    OFF,
    VARIABLE,
    address,
    is_own,
    may_be_forked,
    owner,
)
from finegrid.training.processes.exits import (
    EXIT_CONFIGURATION,
    EXIT_DATA,
    EXIT_FAILED,
    EXIT_FILES,
    EXIT_TRY_AGAIN,
)
from tests.training.assets import Assets, run_folder
from tests.training.interruptions import assert_same_bits, whole_checkpoints
from tests.training.workers import Served, served

ROOT = Path(__file__).parents[2]
SECONDS = 300.0
"""How long a process may take on a busy machine."""
GONE = "the worker of the runs is gone: this one goes on by itself\n"


def wait_for(reached: Callable[[], object], what: str) -> None:
    """Look again and again; an assertion names what did not come."""
    end = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < end, f"{what}: not reached in {SECONDS:.0f} s"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def warm(assets: Assets) -> Iterator[Served]:
    """One worker for the tests of this file, until one ends it."""
    with served(assets) as one:
        yield one
    wait_for(lambda: one.workers() == [], "the end of the worker")


def long(assets: Assets, **changes: Any) -> Specification:
    """200 steps."""
    return assets.specification(epochs=50, evaluations=5, **changes)


def in_the_middle(process: "subprocess.Popen[str]", spec: Specification, results: Path) -> None:
    """Wait until a new checkpoint is whole; the process keeps one after every step."""
    before = whole_checkpoints(spec, results)
    wait_for(
        lambda: whole_checkpoints(spec, results) not in ([], before) or process.poll() is not None,
        "a checkpoint",
    )
    assert process.poll() is None, (results / "errors").read_text()


def child_of(served: Served) -> psutil.Process:
    """The one run that is in hand.

    A client whose surroundings differ starts a worker of its own: a cluster may change the cores
    of a test in its middle.
    """
    (child,) = [one for worker in served.workers() for one in worker.children()]
    return child


# The same run


def test_a_forked_run_has_the_bits_of_a_process_of_its_own(warm: Served, tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 2, "evaluations": 2, "dropout": 0.3}
    settings = {"dropout": 0.2}
    spec = warm.assets.specification("lora", model="bert", settings=settings, **options)
    results = tmp_path / "plain", tmp_path / "forked"
    done = warm.plain(spec, results[0]), warm.run(spec, results[1])
    for one in done:
        assert (one.returncode, one.stdout, one.stderr) == (0, "", f"{spec.run}: ok\n")
    assert_same_bits(spec, *results)
    plain, forked = (Result.read(run_folder(spec, one) / RESULT_FILE) for one in results)
    varies = {"started_at"}
    assert plain.provenance.model_dump(exclude=varies) == forked.provenance.model_dump(
        exclude=varies
    )
    assert plain.memory is not None
    assert plain.memory == forked.memory
    assert plain.tracking == forked.tracking


def test_one_worker_makes_run_after_run_and_two_at_a_time(warm: Served, tmp_path: Path) -> None:
    specs = [warm.assets.specification(seed=seed) for seed in range(4)]
    assert warm.run(specs[0], tmp_path / "0").returncode == 0
    workers = warm.workers()
    pairs = [(spec, tmp_path / str(at)) for at, spec in enumerate(specs)][1:]
    processes = [warm.start(spec, results) for spec, results in pairs]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert warm.workers() == workers
    assert [one for worker in workers for one in worker.children()] == []
    for spec, results in pairs:
        warm.assets.run(spec, tmp_path / "here")
        assert_same_bits(spec, tmp_path / "here", results)


LOADED = """
import os, sys
from finegrid.training.run import prepare_environment
from finegrid.training.libraries import load_libraries
prepare_environment(1)
load_libraries()
import torch
threads, files = (len(os.listdir(f"/proc/self/{kind}")) for kind in ("task", "fd"))
print(threads, files, torch.cuda.is_initialized(), "wandb" in sys.modules)
from wandb.sdk.wandb_setup import _singleton
assert _singleton is None  # nothing of it is set up
"""


@pytest.mark.parametrize(
    "mode",
    [
        "offline",
        pytest.param(
            "disabled",
            marks=pytest.mark.thorough(
                "test_what_a_worker_loads_starts_no_thread_no_device_and_no_tracker"
            ),
        ),
    ],
)
def test_what_a_worker_loads_starts_no_thread_no_device_and_no_tracker(mode: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        cwd=ROOT,
        env=os.environ | {"WANDB_MODE": mode},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"1 4 False {mode != 'disabled'}\n"


# How it ends


def test_its_exit_codes_and_last_words_are_those_of_a_process(warm: Served, tmp_path: Path) -> None:
    """But for 0, 75 and 78, in a folder without data; the same codes are in test_exit_codes.py."""
    spec, empty = warm.assets.specification(), tmp_path / "prepared"
    missing = warm.run(spec, tmp_path, prepared=empty)
    assert missing.returncode == EXIT_FILES
    assert "No such file or directory" in missing.stderr.splitlines()[-1]
    manifest = empty / "tasks" / spec.task.key / MANIFEST_FILE
    manifest.parent.mkdir(parents=True)
    manifest.write_text("half of the m")
    damaged = warm.run(spec, tmp_path, prepared=empty)
    assert damaged.returncode == EXIT_DATA
    assert f"failed (CorruptedFileError: {manifest}: " in damaged.stderr
    folder = run_folder(spec, tmp_path)
    with FileLock(folder / ".lock"):
        held = warm.run(spec, tmp_path)
    assert held.returncode == EXIT_TRY_AGAIN
    assert held.stderr == f"{spec.run}: another process works on this run\n"


def test_a_bug_and_a_wrong_command_end_as_in_a_process(warm: Served, tmp_path: Path) -> None:
    unfit = warm.assets.specification("lora", settings={"targets": ["q"]})  # no plan has it
    failed = warm.run(unfit, tmp_path)
    assert failed.returncode == EXIT_FAILED
    assert "Traceback" in failed.stderr
    refused = warm.run(warm.assets.specification(), tmp_path, "--attempt", "0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--attempt: 0; allowed: 1 or more" in refused.stderr


@pytest.mark.thorough("test_a_run_that_is_killed_ends_its_client_likewise")
def test_asked_to_end_it_leaves_a_checkpoint_and_goes_on_to_the_same_bits(
    warm: Served, tmp_path: Path
) -> None:
    spec, results = long(warm.assets), tmp_path / "results"
    warm.assets.run(spec, tmp_path / "whole")
    for sent in (signal.SIGTERM, signal.SIGUSR1):
        process = warm.start(spec, results, checkpoint_seconds=0)
        in_the_middle(process, spec, results)
        process.send_signal(sent)
        assert process.wait() == EXIT_TRY_AGAIN
        last = (results / "errors").read_text().splitlines()[-1]
        assert last == f"{spec.run}: interrupted by {sent.name}; the next attempt goes on"
    assert warm.run(spec, results).returncode == 0
    resumed = assert_same_bits(spec, tmp_path / "whole", results).resumed_at_steps
    assert 0 < resumed[0] < resumed[1] < 200


@pytest.mark.thorough("test_a_run_that_is_killed_ends_its_client_likewise")
def test_a_signal_that_its_client_ignores_is_ignored(warm: Served, tmp_path: Path) -> None:
    """As `nohup` has SIGHUP ignored."""
    spec = long(warm.assets)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = warm.start(spec, tmp_path, checkpoint_seconds=0)
    finally:
        signal.signal(signal.SIGHUP, before)
    in_the_middle(process, spec, tmp_path)
    child_of(warm).send_signal(signal.SIGHUP)
    assert process.wait() == 0


def test_a_run_that_is_killed_ends_its_client_likewise(warm: Served, tmp_path: Path) -> None:
    """As where the system is short of memory."""
    spec = long(warm.assets)
    process = warm.start(spec, tmp_path, checkpoint_seconds=0)
    in_the_middle(process, spec, tmp_path)
    child_of(warm).kill()
    assert process.wait() == -signal.SIGKILL


@pytest.mark.thorough("test_a_run_that_is_killed_ends_its_client_likewise")
def test_a_client_that_is_killed_takes_its_run_along(warm: Served, tmp_path: Path) -> None:
    spec, results = long(warm.assets), tmp_path / "results"
    process = warm.start(spec, results, checkpoint_seconds=0)
    in_the_middle(process, spec, results)
    child = child_of(warm)
    process.kill()
    process.wait()
    wait_for(lambda: not child.is_running(), "the end of the run")
    assert warm.run(spec, results).returncode == 0
    warm.assets.run(spec, tmp_path / "whole")
    assert assert_same_bits(spec, tmp_path / "whole", results).resumed_at_steps


# Without a worker


@pytest.mark.parametrize(
    ("name", "said"),
    [(OFF, ""), ("", ""), ("no number", GONE), (f"{os.getpid()}-1", GONE)],
    ids=["off", "empty", "no number", "another process of that number"],
)
def test_where_nobody_owns_a_worker_a_process_is_started(
    warm: Served, tmp_path: Path, name: str, said: str
) -> None:
    """The last is the number of a process that began at another time."""
    text = json.dumps({"training": {"device": "cpu", "devices": 1, "threads": 1}})
    assert may_be_forked(text.encode())
    done = warm.run(text, tmp_path, environment={VARIABLE: name})
    assert done.returncode == EXIT_CONFIGURATION
    assert done.stderr.startswith(f"{said}-: no specification of a run: ")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"device": "cuda"}, False),
        ({"threads": 2}, False),
        ({"devices": 2, "strategy": "ddp"}, False),
    ],
    ids=str,
)
def test_runs_whose_processes_a_fork_would_change_are_none_for_a_worker(
    assets: Assets, changes: dict[str, Any], expected: bool
) -> None:
    text = assets.specification(**changes).model_dump_json()
    assert may_be_forked(text.encode()) is expected


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"training": null}', '{"training": {}}', "\x00"])
def test_what_is_no_specification_is_none_for_a_worker(text: str) -> None:
    assert not may_be_forked(text.encode())


# Whose worker it is


def test_another_source_has_another_worker(tmp_path: Path) -> None:
    for room in ("finegrid", "methods", "tasks"):
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(ROOT / room, tmp_path / room, ignore=ignored)
    before = address(tmp_path)
    (tmp_path / "methods" / "notes.txt").touch()
    assert address(tmp_path) == before
    with (tmp_path / "methods" / "lora.py").open("a") as stream:
        stream.write("ADDED = 1\n")
    edited = address(tmp_path)
    (tmp_path / "tasks" / "more.py").touch()
    assert len({before, edited, address(tmp_path)}) == 3


def test_another_environment_folder_mask_or_limit_has_another_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from finegrid.training.processes.client import address; print(address()[1:])"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def found(shell: str = "", folder: Path = ROOT, **variables: str) -> str:
        line = ["bash", "-c", f'{shell} exec "$0" -c "$1"', sys.executable, code]
        changed = environment | variables
        return subprocess.check_output(line, cwd=folder, env=changed, text=True)

    before = found()
    assert found() == before
    others = [found("umask 0007;"), found("ulimit -n 64;"), found(HF_HOME="/elsewhere")]
    others.append(found(folder=tmp_path))
    assert len({before, *others}) == 5


def test_a_worker_serves_its_own_user_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        assert is_own(here)
        uid = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: uid + 1)
        assert not is_own(here)


def test_the_name_of_an_owner_is_of_one_process_alone() -> None:
    with subprocess.Popen(["sleep", "infinity"]) as process:
        names = owner(os.getpid()), owner(process.pid), owner(process.pid)
        process.kill()
    assert names[0] != names[1] == names[2]
    with pytest.raises(FileNotFoundError):
        owner(process.pid)


# The last two, as they end the worker of the others


@pytest.mark.thorough("test_where_nobody_owns_a_worker_a_process_is_started")
def test_a_worker_that_is_killed_loses_nothing(warm: Served, tmp_path: Path) -> None:
    """Its run goes on in a process of its own; the next client starts another worker."""
    spec, results = long(warm.assets), tmp_path / "results"
    process = warm.start(spec, results, checkpoint_seconds=0)
    in_the_middle(process, spec, results)
    child = child_of(warm)
    worker = psutil.Process(child.ppid())
    worker.kill()
    assert process.wait() == 0
    assert not child.is_running()
    first, *_, last = (results / "errors").read_text().splitlines(keepends=True)
    assert (first, last) == (GONE, f"{spec.run}: ok\n")
    warm.assets.run(spec, tmp_path / "whole")
    assert assert_same_bits(spec, tmp_path / "whole", results).resumed_at_steps


@pytest.mark.thorough("test_one_worker_makes_run_after_run_and_two_at_a_time")
def test_a_run_outlives_its_snakemake_and_the_worker_does_not_outlive_the_run(
    warm: Served, tmp_path: Path
) -> None:
    """As a process of its own would; both are gone then."""
    spec = long(warm.assets)
    process = warm.start(spec, tmp_path, checkpoint_seconds=0)
    in_the_middle(process, spec, tmp_path)
    child = child_of(warm)
    worker = psutil.Process(child.ppid())
    warm.snakemake.kill()
    warm.snakemake.wait()
    assert process.wait() == 0
    wait_for(lambda: not worker.is_running(), "the end of the worker")
    assert not child.is_running()
    assert (tmp_path / "errors").read_text() == f"{spec.run}: ok\n"
