"""A run of several processes is that of one, but for sums that are rounded in another order."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

import finegrid
from finegrid.records.costs import Memory
from finegrid.records.identity import file_sha256
from finegrid.records.result import (
    DELTA_FILE,
    FAILURE_FILE,
    PREDICTIONS_FILE,
    RESULT_FILE,
    Metrics,
    Parameters,
    Result,
)
from finegrid.records.specification import Specification
from finegrid.training.experiment import Run
from finegrid.training.experiment import perform as perform_run
from finegrid.training.loop import Event
from finegrid.training.processes.distributed import ALONE, Group
from finegrid.training.processes.launch import run_workers
from finegrid.training.processes.signals import Interruption
from finegrid.training.record import Reached
from tests.training.assets import OWN_METHODS, Assets, run_folder
from tests.training.brief import brief
from tests.training.disturbances import Disturbed, disturb, forked_workers
from tests.training.interruptions import (
    SHARED_OUTCOME,
    assert_same_bits,
    checkpoints,
    whole_checkpoints,
)

REPOSITORY = Path(finegrid.__file__).parents[1]
Patch = pytest.MonkeyPatch
STRATEGIES = ("ddp", "fsdp")
TRY_AGAIN, FILES = os.EX_TEMPFAIL, os.EX_IOERR
TOLERANCE = 1e-5
SECONDS = 300.0
"""How long processes may take to start, or to end, on a busy machine."""


@dataclass(frozen=True)
class Outcome:
    """What is compared of two runs."""

    losses: list[float]
    norms: list[float]
    metrics: Metrics | None
    parameters: Parameters | None
    memory: Memory | None
    delta: dict[str, torch.Tensor]


def perform(
    specs: dict[str, Specification],
    prepared: Path,
    root: Path,
    group: Group,
    _interruption: Interruption,
) -> dict[str, Outcome]:
    """Every stage of some runs, in each process of a group; what the first one has of them."""
    found = {}
    for name, spec in specs.items():
        folder = root / spec.run
        folder.mkdir(exist_ok=True)
        events: list[Event] = []
        reached: Reached = {}
        gc.collect()  # a run has a process to itself: what the last left would go in its memory
        with brief(is_traced="bert full" in name):
            perform_run(Run(spec, prepared, folder, events.append, group=group), reached)
        steps = [event for event in events if "loss" in event]
        if group.is_first:
            found[name] = Outcome(
                [event["loss"] for event in steps],
                [event["gradient_norm"] for event in steps],
                reached.get("metrics"),
                reached.get("parameters"),
                reached.get("memory"),
                load_file(folder / DELTA_FILE),
            )
    return found


def specification(assets: Assets, case: str, **options: Any) -> Specification:
    model, method = case.split()
    defaults = {"dropout": 0.0, "epochs": 2, "evaluations": 2}
    return assets.specification(method, model=model, **defaults | options)


CASES = ("network full", "network bitfit", *(f"bert {name}" for name in OWN_METHODS))
QUICK = ("network full", "bert full", "bert lora")
BEYOND = pytest.mark.thorough("test_two_processes_train_as_one")
Outcomes = dict[str, Outcome]
Trained = Callable[[str], Outcomes]
"""The outcomes of the case and of those that are trained with it."""


def companions(case: str) -> tuple[str, ...]:
    """What is trained by the same processes: to start them takes longer than to train."""
    return QUICK if case in QUICK else tuple(one for one in CASES if one not in QUICK)


@pytest.fixture(scope="module", autouse=True)
def _forked() -> Iterator[None]:
    """That of the locks below and those of nodes spawn their processes, as a run does."""
    with forked_workers():
        yield


@pytest.fixture(scope="module")
def alone(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Of this process."""

    @cache
    def train(cases: tuple[str, ...]) -> Outcomes:
        torch.set_num_threads(1)
        specs = {case: specification(assets, case) for case in cases}
        root = tmp_path_factory.mktemp("one")
        return perform(specs, assets.prepared, root, ALONE, Interruption())

    return lambda case: train(companions(case))


@pytest.fixture(scope="module")
def shared(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """By strategy and case, of two processes."""

    @cache
    def train(cases: tuple[str, ...]) -> Outcomes:
        return shared_by(2, cases, assets, tmp_path_factory.mktemp("two"))

    return lambda case: train(companions(case))


def shared_by(
    devices: int, cases: Sequence[str], assets: Assets, root: Path, **options: Any
) -> Outcomes:
    specs = {
        f"{strategy} {case}": specification(
            assets, case, devices=devices, strategy=strategy, **options
        )
        for strategy in STRATEGIES
        for case in cases
    }
    work = partial(perform, specs, assets.prepared, root)
    return run_workers(work, next(iter(specs.values())).training, 1, Interruption())


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "case", [pytest.param(one, marks=() if one in QUICK else BEYOND) for one in CASES]
)
def test_two_processes_train_as_one(
    alone: Trained, shared: Trained, case: str, strategy: str
) -> None:
    expected, found = alone(case)[case], shared(case)[f"{strategy} {case}"]
    assert len(set(expected.losses)) == len(expected.losses) == 8
    assert_as_one(expected, found)


def assert_as_one(expected: Outcome, found: Outcome) -> None:
    assert found.losses == pytest.approx(expected.losses, abs=TOLERANCE)
    assert found.norms == pytest.approx(expected.norms, rel=1e-4)
    assert (found.metrics, found.parameters) == (expected.metrics, expected.parameters)
    assert found.delta.keys() == expected.delta.keys()
    for name, tensor in expected.delta.items():
        torch.testing.assert_close(found.delta[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.thorough("test_two_processes_train_as_one")
def test_half_weights_are_shared_as_well(assets: Assets, tmp_path: Path) -> None:
    """Types differ within a block where the base is trained; sums are rounded more coarsely."""
    cases = ("bert full", "bert lora")
    options = {"dtype": "bf16", "weights": "bf16"}
    specs = {case: specification(assets, case, **options) for case in cases}
    alone = perform(specs, assets.prepared, tmp_path, ALONE, Interruption())
    shared = shared_by(2, cases, assets, tmp_path, **options)
    for name, found in shared.items():
        strategy, case = name.split(" ", 1)
        one, two = alone[case].memory, found.memory
        assert found.losses == pytest.approx(alone[case].losses, abs=0.02)
        assert found.parameters == alone[case].parameters
        assert one is not None
        assert two is not None
        share = {"ddp": 1.0, "fsdp": 0.5}[strategy]
        for part in ("weights_bytes", "gradients_bytes", "optimizer_bytes"):
            assert getattr(two, part) == pytest.approx(getattr(one, part) * share, rel=0.03), part
        types = {name: tensor.dtype for name, tensor in alone[case].delta.items()}
        assert {name: tensor.dtype for name, tensor in found.delta.items()} == types


@pytest.mark.parametrize(("strategy", "share"), [("ddp", 1.0), ("fsdp", 0.5)])
def test_each_device_holds_what_its_strategy_says(
    alone: Trained, shared: Trained, strategy: str, share: float
) -> None:
    case = "bert full"
    one, two = alone(case)[case].memory, shared(case)[f"{strategy} {case}"].memory
    assert one is not None
    assert two is not None
    assert two.batch[0] * 2 == one.batch[0]
    tolerance = {"ddp": 0, "fsdp": 0.02}[strategy]
    for part in ("weights_bytes", "gradients_bytes", "optimizer_bytes"):
        expected = pytest.approx(getattr(one, part) * share, rel=tolerance, abs=0)
        assert getattr(two, part) == expected, part
    assert two.peak_training_bytes < one.peak_training_bytes


def test_the_peak_of_a_device_is_predicted(shared: Trained) -> None:
    """With fsdp up to a fifth less: gloo copies what it exchanges, and may give a copy back in a
    thread of its own, which no event tells; `test_divided.py` holds the trace against what is
    allocated."""
    found = shared("bert full")
    ddp, fsdp = (found[f"{strategy} bert full"].memory for strategy in ("ddp", "fsdp"))
    assert ddp is not None
    assert fsdp is not None
    assert ddp.predicted_peak_bytes == pytest.approx(ddp.peak_training_bytes, rel=0.04)
    assert fsdp.predicted_peak_bytes is not None, fsdp.predicted_reason
    assert 0.8 < fsdp.predicted_peak_bytes / fsdp.peak_training_bytes < 1.02


@pytest.mark.thorough("test_each_device_holds_what_its_strategy_says")
def test_gradients_add_up_beside_what_devices_exchange_them_in(
    shared: Trained, assets: Assets, tmp_path: Path
) -> None:
    """Until the last micro-batch: then they move there."""
    whole = shared("bert full")["ddp bert full"].memory
    found = shared_by(2, ["bert full"], assets, tmp_path, micro_batch_size=8)
    parts = found["ddp bert full"].memory
    assert whole is not None
    assert parts is not None
    assert parts.batch[0] * 2 == whole.batch[0]
    fixed = whole.weights_bytes + whole.optimizer_bytes + 2 * whole.gradients_bytes
    assert parts.peak_forward_bytes >= fixed + parts.activations_bytes
    assert parts.gradients_bytes == whole.gradients_bytes
    assert parts.activations_bytes == pytest.approx(whole.activations_bytes / 2, rel=0.05)
    assert parts.predicted_peak_bytes == pytest.approx(parts.peak_training_bytes, rel=0.04)


@pytest.mark.thorough("test_two_processes_train_as_one")
def test_a_process_without_examples_takes_part(assets: Assets, tmp_path: Path) -> None:
    """50 examples: the last batch has 2 of them for three processes."""
    case, options = "network full", {"batch_size": 12, "micro_batch_size": 6}
    specs = {case: specification(assets, case, **options)}
    one = perform(specs, assets.prepared, tmp_path, ALONE, Interruption())[case]
    three = shared_by(3, [case], assets, tmp_path, **options)
    assert len(three) == len(STRATEGIES)
    for found in three.values():
        assert_as_one(one, found)


@pytest.mark.thorough("test_a_transformer_with_dropout_goes_on_again_and_again")
@pytest.mark.parametrize(("strategy", "how", "rank"), [("ddp", "parent", 0), ("fsdp", "told", 1)])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    assets: Assets,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    strategy: str,
    how: str,
    rank: int,
) -> None:
    """With dropout, which each process draws by a generator of its own."""
    options = {"devices": 2, "strategy": strategy, "dropout": 0.3}
    spec = specification(assets, "bert lora", **options)
    assets.run(spec, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        disturb(patch, Disturbed(how, 5, rank))
        assert assets.main(spec, tmp_path) == TRY_AGAIN
    name = {"told": "SIGTERM", "parent": "SIGUSR1"}[how]
    told = f"{spec.run}: interrupted by {name}; the next attempt goes on"
    assert caplog.messages[-1] == told
    assert not (run_folder(spec, tmp_path) / RESULT_FILE).exists()
    assert len(checkpoints(spec, tmp_path)) == 1
    if strategy == "ddp":
        assert_all_have_to_see_the_checkpoint(assets, spec, tmp_path)
    assert assets.main(spec, tmp_path) == 0
    result = assert_same_bits(spec, tmp_path / "whole", tmp_path, SHARED_OUTCOME)
    assert result.resumed_at_steps == (5,)
    assert result.damaged_files(run_folder(spec, tmp_path)) == []
    assert (result.inference is None) == (strategy == "fsdp")


def assert_all_have_to_see_the_checkpoint(
    assets: Assets, spec: Specification, results: Path
) -> None:
    """Else an attempt changes nothing."""
    with pytest.MonkeyPatch.context() as patch:
        disturb(patch, Disturbed("blind", 0))
        assert assets.main(spec, results) == FILES
    failure = Result.read(run_folder(spec, results) / FAILURE_FILE)
    assert "checkpoint: not the same for all nodes of the run" in (failure.reason or "")


def test_memory_that_runs_out_in_one_process_is_everybodys(
    assets: Assets, tmp_path: Path, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    expected = assets.run(specification(assets, "network full", micro_batch_size=8), tmp_path)
    disturb(monkeypatch, Disturbed("short", 0, size=4))
    spec = specification(assets, "network full", devices=2)
    result = assets.run(spec, tmp_path)
    assert (result.state, result.micro_batch_size) == ("ok", 8)
    assert result.metrics == expected.metrics
    assert f"{spec.run}: starts again in micro-batches of 8" in caplog.messages


@pytest.mark.thorough("test_memory_that_runs_out_in_one_process_is_everybodys")
def test_memory_that_never_suffices_is_recorded(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    disturb(monkeypatch, Disturbed("short", 0, size=0))
    spec = specification(assets, "network full", devices=2, batch_size=2)
    result = assets.run(spec, tmp_path)
    # One example for each device: there is nothing to halve.
    assert (result.state, result.failed_step, result.micro_batch_size) == ("oom", 1, None)
    assert "CUDA out of memory" in (result.reason or "")
    assert (result.metrics, result.memory) == (None, None)


def test_a_process_that_is_killed_fails_the_run(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    disturb(monkeypatch, Disturbed("gone", 3))
    spec = specification(assets, "network full", devices=2)
    assert assets.main(spec, tmp_path) == 1
    result = Result.read(run_folder(spec, tmp_path) / FAILURE_FILE)
    assert (result.state, result.reason) == ("failed", "process 1 of the run ended by SIGKILL")


@pytest.mark.thorough("test_a_process_that_is_killed_fails_the_run")
def test_a_process_that_is_killed_after_a_request_leaves_the_run_to_the_next_attempt(
    assets: Assets, tmp_path: Path, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its launcher does not take it for an orderly end: on another node the others may wait."""
    reasons = disturb(monkeypatch, Disturbed("gone_when_told", 3))
    spec = specification(assets, "network full", devices=2)
    assert assets.main(spec, tmp_path) == TRY_AGAIN
    assert reasons == ["process 1 of the run ended by SIGKILL"]
    told = [*reasons, "interrupted by SIGUSR1; the next attempt goes on"]
    assert caplog.messages[-2:] == [f"{spec.run}: {one}" for one in told]
    assert not (run_folder(spec, tmp_path) / FAILURE_FILE).exists()


@pytest.mark.thorough("test_the_death_of_a_process_releases_its_device")
def test_the_processes_of_a_run_die_with_the_one_that_holds_its_locks(
    assets: Assets, tmp_path: Path
) -> None:
    """Else the next attempt would begin while they still write."""
    spec = specification(assets, "network full", devices=2, epochs=10_000)
    spec.write(tmp_path / "given.json")
    command = [sys.executable, "-m", "finegrid.training.run", "--spec", tmp_path / "given.json"]
    command += ["--results", tmp_path, "--prepared", assets.prepared, "--checkpoint-seconds", "0"]
    parent = psutil.Popen(command, stderr=subprocess.DEVNULL, cwd=REPOSITORY)
    try:
        wait_for(lambda: whole_checkpoints(spec, tmp_path))
    finally:
        processes = parent.children(recursive=True)
        parent.kill()
        parent.wait()
    assert len(processes) >= 2
    _, alive = psutil.wait_procs(processes, timeout=SECONDS)
    assert alive == []
    with FileLock(run_folder(spec, tmp_path) / ".lock", timeout=0):
        # An older one may not be deleted yet.
        kept = whole_checkpoints(spec, tmp_path)
        assert {path.stem for path in kept} == {file_sha256(path) for path in kept} != set()


def wait_for(reached: Callable[[], Any]) -> None:
    end = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.thorough("test_a_senseless_learning_rate_diverges")
def test_a_run_that_diverges_says_so_once(assets: Assets, tmp_path: Path) -> None:
    options = {"learning_rate": 1e30, "gradient_clip_norm": None}
    one, two = (specification(assets, "network full", devices=n, **options) for n in (1, 2))
    expected, found = (assets.run(spec, tmp_path) for spec in (one, two))
    assert (found.state, found.failed_step) == (expected.state, expected.failed_step)
    assert found.state == "diverged"
    assert not (run_folder(two, tmp_path) / PREDICTIONS_FILE).exists()
