"""Memory and latency are measured once a cell, whichever of its runs comes first."""

import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from finegrid.records.costs import Costs
from finegrid.records.kept import Kept
from finegrid.records.result import Result
from finegrid.training.measure import cell, costs
from finegrid.training.processes.exits import EXIT_TRY_AGAIN
from tests.training.assets import Assets, run_folder
from tests.training.interruptions import ask

Patch = pytest.MonkeyPatch


@pytest.fixture
def probes(monkeypatch: Patch) -> list[str]:
    """The runs that measured memory, in their order."""
    found, plain = [], costs.measure_memory

    def measure(subject: costs.Subject) -> Any:
        found.append(subject.spec.run)
        return plain(subject)

    monkeypatch.setattr(costs, "measure_memory", measure)
    return found


def costs_files(results: Path) -> list[Path]:
    return sorted(results.glob("costs/*.json"))


def test_the_first_run_of_a_cell_measures_for_all(
    assets: Assets, tmp_path: Path, probes: list[str]
) -> None:
    linear = {"targets": ["linear"]}
    specs = [assets.specification("lora", settings=linear, seed=seed) for seed in (0, 1)]
    first, second = (assets.run(spec, tmp_path) for spec in specs)
    assert probes == [first.run]
    assert (first.costs_of, second.costs_of) == (None, first.run)
    assert first.memory == second.memory is not None
    assert first.inference == second.inference is not None
    assert first.losses != second.losses
    (file,) = costs_files(tmp_path)
    assert Kept[Costs].read(file).content == Costs(
        run=first.run, memory=first.memory, inference=first.inference
    )
    assert "costs_of" not in (run_folder(specs[0], tmp_path) / "result.json").read_text()


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "bitfit"},
        {"batch_size": 8},
        {"evaluation_batch_size": 4},
        {"micro_batch_size": 4},
        {"dtype": "bf16"},
    ],
)
def test_what_changes_costs_is_measured_for_itself(
    assets: Assets, tmp_path: Path, probes: list[str], changes: dict[str, Any]
) -> None:
    for spec in (assets.specification(), assets.specification(**changes)):
        assert assets.run(spec, tmp_path).costs_of is None
    assert len(probes) == len(costs_files(tmp_path)) == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_other_conditions_are_measured_anew(
    assets: Assets, tmp_path: Path, probes: list[str], threads: int
) -> None:
    """Of the same cell on one machine: with other threads, or after an edit of the source."""
    spec = assets.specification()
    assets.run(spec, tmp_path)
    other = spec.model_copy(update={"seed": 1})
    assert assets.main(other, tmp_path, threads=threads) == 0
    assert len(probes) == threads


def test_a_file_that_is_not_as_it_was_written_is_no_measurement(
    assets: Assets, tmp_path: Path, probes: list[str]
) -> None:
    assets.run(assets.specification(), tmp_path)
    (file,) = costs_files(tmp_path)
    file.write_text(file.read_text().replace('"weights_bytes":', '"weights_bytes":1', 1))
    again = assets.run(assets.specification(seed=1), tmp_path)
    assert (len(probes), again.costs_of) == (2, None)
    assert Kept[Costs].read(file).content.run == again.run


def test_a_run_that_is_made_again_keeps_what_it_measured(
    assets: Assets, tmp_path: Path, probes: list[str]
) -> None:
    spec = assets.specification()
    before = assets.run(spec, tmp_path)
    again = assets.run(spec, tmp_path)
    assert (again.memory, again.inference, again.costs_of) == (
        before.memory,
        before.inference,
        None,
    )
    assert len(probes) == 1


def held(results: Path) -> FileLock:
    """The turn of the cell of a run, which has measured already."""
    (file,) = costs_files(results)
    lock = FileLock(file.with_suffix(".lock"), thread_local=False)
    lock.acquire()
    return lock


def test_a_run_waits_for_the_one_that_measures(
    assets: Assets, tmp_path: Path, probes: list[str], monkeypatch: Patch
) -> None:
    monkeypatch.setattr(cell, "_WAIT_SECONDS", 0.01)
    spec = assets.specification()
    first = assets.run(spec, tmp_path)
    lock = held(tmp_path)
    waiting, plain = threading.Event(), cell._acquired

    def acquired(lock: FileLock) -> bool:
        got = plain(lock)
        if not got:
            waiting.set()
        return got

    monkeypatch.setattr(cell, "_acquired", acquired)

    def release() -> None:
        waiting.wait(60)
        lock.release()

    other = threading.Thread(target=release)
    other.start()
    second = assets.run(assets.specification(seed=1), tmp_path)
    other.join()
    assert waiting.is_set()
    assert second.costs_of == first.run


def test_a_run_that_waits_hears_that_it_is_to_end(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(cell, "_WAIT_SECONDS", 0.01)
    spec = assets.specification()
    assets.run(spec, tmp_path)
    lock = held(tmp_path)
    other = assets.specification(seed=1)
    monkeypatch.setattr(cell, "_acquired", lambda _: bool(ask()()))
    assert assets.main(other, tmp_path) == EXIT_TRY_AGAIN
    lock.release()
    monkeypatch.undo()
    assert assets.main(other, tmp_path) == 0
    result = Result.read(run_folder(other, tmp_path) / "result.json")
    assert result.costs_of == spec.run
    assert result.resumed_at_steps
