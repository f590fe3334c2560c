"""Each run on a machine has a CUDA device of its own. The devices here are pretended."""

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from finegrid.records.specification import Pretraining, Specification
from finegrid.records.training import Training
from finegrid.training.processes import devices
from finegrid.training.processes.devices import (
    PARTS,
    VISIBLE,
    NoDeviceError,
    leased,
    share_of_memory,
    smallest_memory_bytes,
    visible_devices,
)
from finegrid.training.processes.signals import Interruption, PreemptedError
from tests.training.assets import Assets

Patch = pytest.MonkeyPatch
LISTED = """\
GPU 0: NVIDIA A100 (UUID: GPU-aaaa)
GPU 1: NVIDIA A100 (UUID: GPU-bbbb)
  MIG 3g.20gb     Device  0: (UUID: MIG-b1)
  MIG 3g.20gb     Device  1: (UUID: MIG-b2)
GPU 2: NVIDIA A100 (UUID: GPU-cccc)
"""


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: Patch) -> Iterator[None]:
    """A temporary folder of its own, and no wish as to devices."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "_POLL_SECONDS", 0.01)
    before = os.environ.pop(VISIBLE, None)
    yield
    os.environ.pop(VISIBLE, None)
    if before is not None:
        os.environ[VISIBLE] = before


def pretend(monkeypatch: Patch, folder: Path, script: str) -> None:
    """Put a command in place of the driver's tool."""
    tool = folder / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")


def test_each_run_sees_a_device_of_its_own(monkeypatch: Patch) -> None:
    seen = []
    monkeypatch.setenv(VISIBLE, "2,GPU-x")
    with leased("cuda", Interruption()):
        seen.append(os.environ[VISIBLE])
        monkeypatch.setenv(VISIBLE, "2,GPU-x")  # as another process has it
        with leased("cuda", Interruption()):
            seen.append(os.environ[VISIBLE])
    assert seen == ["2", "GPU-x"]
    monkeypatch.setenv(VISIBLE, "2,GPU-x")
    with leased("cuda", Interruption()):
        assert os.environ[VISIBLE] == "2"
    assert os.environ[VISIBLE] == "2,GPU-x"


def test_one_run_too_many_waits_until_a_device_is_released(
    monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv(VISIBLE, "0,1")
    seen: list[str] = []
    is_free = threading.Event()

    def wait() -> None:
        with leased("cuda", Interruption()):
            seen.append(f"{os.environ[VISIBLE]} {is_free.is_set()}")

    first, second = (devices._hold([name], 1, Interruption())[name] for name in ("0", "1"))
    waiting = threading.Thread(target=wait)
    waiting.start()
    while "every CUDA device is held (0, 1): waiting for 1" not in caplog.messages:
        time.sleep(0.01)
    is_free.set()
    second.release()
    waiting.join()
    first.release()
    assert seen == ["1 True"]


def test_a_run_that_waits_can_be_interrupted(monkeypatch: Patch) -> None:
    monkeypatch.setenv(VISIBLE, "0,1")
    locks = [devices._hold([name], 1, Interruption())[name] for name in ("0", "1")]
    with pytest.raises(PreemptedError, match="SIGTERM"), leased("cuda", Interruption("SIGTERM")):
        pytest.fail("there is no device")
    for lock in locks:
        lock.release()


def shares(monkeypatch: Patch, visible: str, *asked: int) -> list[str]:
    """The devices that runs see who hold so many parts, all at a time; "none" where one waits."""
    seen = []
    with ExitStack() as held:
        for parts in asked:
            monkeypatch.setenv(VISIBLE, visible)  # as another process has it
            try:
                held.enter_context(leased("cuda", Interruption("SIGTERM"), parts=parts))
                seen.append(os.environ[VISIBLE])
            except PreemptedError:
                seen.append("none")
    return seen


HALF, THIRD = PARTS // 2, PARTS // 3


@pytest.mark.parametrize(
    ("visible", "asked", "seen"),
    [
        ("0", [THIRD, THIRD, THIRD, 1], ["0", "0", "0", "none"]),
        ("0,1", [PARTS, PARTS, 1], ["0", "1", "none"]),
        ("0,1", [THIRD, THIRD, PARTS], ["0", "1", "none"]),
        ("0,1", [THIRD, PARTS, HALF], ["0", "1", "0"]),
        ("0,1", [HALF, THIRD, THIRD, HALF], ["0", "1", "1", "0"]),
    ],
)
def test_runs_share_a_device_as_far_as_its_parts_go_and_no_other_is_among_them(
    monkeypatch: Patch, visible: str, asked: list[int], seen: list[str]
) -> None:
    """Of two devices with room a run takes the one that has more."""
    assert shares(monkeypatch, visible, *asked) == seen
    assert shares(monkeypatch, visible, PARTS) == ["0"]  # all of them ended


@pytest.mark.parametrize("runs", range(2, 17))
def test_as_many_runs_as_are_to_share_a_device_do(monkeypatch: Patch, runs: int) -> None:
    seen = shares(monkeypatch, "0", *[PARTS // runs] * (runs + 1))
    assert seen == [*["0"] * runs, "none"]


def test_a_share_leaves_room_for_what_a_process_takes_beside_its_tensors() -> None:
    assert share_of_memory(HALF, 80_000_000_000) == 0.5 - 1 / 80
    assert share_of_memory(1, 1_000_000_000) == 0


MEMORIES = "0, GPU-aaaa, 81559\n1, GPU-bbbb, 15360\n2, GPU-cccc, [N/A]\n"


@pytest.mark.parametrize(
    ("visible", "mebibytes"),
    [("0", 81559), ("0,1", 15360), ("GPU-aaaa", 81559), ("2", None), ("0,MIG-b1", None)],
)
def test_the_memory_of_the_smallest_visible_device_is_the_driver_s(
    tmp_path: Path, monkeypatch: Patch, visible: str, mebibytes: int | None
) -> None:
    pretend(monkeypatch, tmp_path, f"cat <<'END'\n{MEMORIES}END")
    monkeypatch.setenv(VISIBLE, visible)
    assert smallest_memory_bytes() == (mebibytes and mebibytes << 20)


def test_without_a_driver_no_memory_is_known(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert smallest_memory_bytes() is None


def test_the_death_of_a_process_releases_its_device(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv(VISIBLE, "0,1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = (
        "import os, time; from finegrid.training.processes.devices import *\n"
        "from finegrid.training.processes.signals import *\n"
        "with leased('cuda', Interruption()):\n"
        "    print(os.environ[VISIBLE], flush=True); time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    with leased("cuda", Interruption()):
        assert os.environ[VISIBLE] == "1"
    process.kill()
    process.wait()
    process.stdout.close()
    monkeypatch.setenv(VISIBLE, "0,1")
    with leased("cuda", Interruption()):
        assert os.environ[VISIBLE] == "0"


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda"])
def test_there_is_nothing_to_lease_where_one_device_is_assigned_or_none_is_needed(
    tmp_path: Path, monkeypatch: Patch, device: str
) -> None:
    monkeypatch.setenv(VISIBLE, "3" if device == "cuda" else "0,1")
    before = os.environ[VISIBLE]
    with leased(device, Interruption()):
        assert os.environ[VISIBLE] == before
    assert list(tmp_path.iterdir()) == []


def test_devices_are_listed_by_the_driver_and_counted_by_their_parts(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    pretend(monkeypatch, tmp_path, f"cat <<'END'\n{LISTED}END")
    assert visible_devices() == ["GPU-aaaa", "MIG-b1", "MIG-b2", "GPU-cccc"]
    with leased("cuda", Interruption()):
        assert os.environ[VISIBLE] == "GPU-aaaa"
    assert VISIBLE not in os.environ


def test_the_only_device_of_a_machine_is_leased_as_well(tmp_path: Path, monkeypatch: Patch) -> None:
    pretend(monkeypatch, tmp_path, "echo 'GPU 0: NVIDIA T4 (UUID: GPU-aaaa)'")
    with leased("cuda", Interruption()):
        assert os.environ[VISIBLE] == "GPU-aaaa"
        del os.environ[VISIBLE]
        with pytest.raises(PreemptedError), leased("cuda", Interruption("SIGTERM")):
            pytest.fail("it is held")


def test_a_driver_that_lists_nothing_is_a_warning(
    tmp_path: Path, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, tmp_path, "exit 9")
    with leased("cuda", Interruption()):
        assert VISIBLE not in os.environ
    (line,) = caplog.messages
    assert line.startswith("no CUDA device is leased, for nvidia-smi does not list them: ")


@pytest.mark.parametrize(
    ("text", "shown"), [("0, 1", ["0", "1"]), ("1,-1,0", ["1"]), ("MIG-a/1/0", ["MIG-a/1/0"])]
)
def test_the_variable_is_read_as_cuda_reads_it(
    monkeypatch: Patch, text: str, shown: list[str]
) -> None:
    monkeypatch.setenv(VISIBLE, text)
    assert visible_devices() == shown


@pytest.mark.parametrize("text", ["", "-1"])
def test_a_run_that_is_shown_no_device_says_so(
    assets: Assets, tmp_path: Path, monkeypatch: Patch, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    monkeypatch.setenv(VISIBLE, text)
    with pytest.raises(NoDeviceError):
        visible_devices()
    spec: Specification = assets.specification(device="cuda")
    assert assets.main(spec, tmp_path) == os.EX_CONFIG
    (line,) = caplog.messages
    assert line == f"{spec.run}: {VISIBLE}: {text!r} names no device; allowed: indices or UUIDs"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"devices": 3}, "devices: 3 does not divide batch_size 16 evenly"),
        ({"devices": 4, "micro_batch_size": 2}, "devices: 4 does not divide micro_batch_size 2"),
        ({"devices": 2, "device": "mps"}, "devices: 2 of device mps; allowed: 1"),
        ({"strategy": "fsdp"}, "strategy: fsdp on 1 device; allowed: ddp, or devices from 2"),
        ({"devices": 0}, "greater than or equal to 1"),
        ({"devices": 2, "strategy": "zero"}, "'ddp' or 'fsdp'"),
    ],
    ids=str,
)
def test_what_devices_cannot_share_is_refused(change: dict[str, Any], message: str) -> None:
    given = {"learning_rate": 0.1, "epochs": 1, "batch_size": 16, "max_length": 8}
    with pytest.raises(ValidationError, match=message):
        Training.model_validate(given | change)


def test_a_pretraining_takes_one_device(assets: Assets) -> None:
    training = assets.specification(devices=2).training
    with pytest.raises(ValidationError, match="devices: 2 for a pretraining; allowed: 1"):
        Pretraining(task=assets.tasks["network"], training=training)
