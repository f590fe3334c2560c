"""Where memory runs out in a step, a run waits for more, or trains in smaller micro-batches."""

import os
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.comparability import cost_fields
from finegrid.records.result import DELTA_FILE, RESULT_FILE
from finegrid.training.job import Job
from finegrid.training.loop import Trainer
from finegrid.training.processes.signals import Interruption
from finegrid.training.record import Ending
from finegrid.training.shrink import with_smaller_micro_batches
from tests.training.assets import Assets, read_history, run_folder, steps
from tests.training.interruptions import ask, assert_same_bits, interrupted

Patch = pytest.MonkeyPatch
TRY_AGAIN = os.EX_TEMPFAIL


def limit(size: int, patch: Patch) -> list[int]:
    """Let memory run out above that many examples; returns the micro-batches that were tried."""
    plain, tried = Trainer.loss, []

    def loss(self: Trainer, indices: list[int]) -> torch.Tensor:
        tried.append(len(indices))
        if len(indices) > size:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return plain(self, indices)

    patch.setattr(Trainer, "loss", loss)
    return tried


def test_a_run_fits_in_smaller_micro_batches(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    """It is then the run that the specification with these micro-batches is."""
    given = assets.specification(epochs=2, batch_size=10, micro_batch_size=2)
    expected = assets.run(given, tmp_path)
    tried = limit(2, monkeypatch)
    spec = assets.specification(epochs=2, batch_size=10)
    result = assets.run(spec, tmp_path)
    assert tried[:4] == [10, 5, 2, 2]
    assert (result.state, result.micro_batch_size, result.spec) == ("ok", 2, spec)
    assert expected.micro_batch_size is None
    assert (result.metrics, result.losses) == (expected.metrics, expected.losses)
    assert result.memory == expected.memory
    folders = [run_folder(one, tmp_path) for one in (given, spec)]
    assert len({(folder / DELTA_FILE).read_bytes() for folder in folders}) == 1
    histories = [steps(read_history(folder)) for folder in folders]
    assert histories[0] == histories[1]


def test_such_a_run_is_not_compared_with_one_that_fitted(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    whole = cost_fields(assets.run(assets.specification(), tmp_path))
    limit(8, monkeypatch)
    small = cost_fields(assets.run(assets.specification(seed=1), tmp_path))
    differs = {key: (whole[key], small[key]) for key in whole if whole[key] != small[key]}
    assert differs == {"micro_batch_size": ("16", "8")}


def test_no_size_that_fits_is_an_oom(assets: Assets, tmp_path: Path, monkeypatch: Patch) -> None:
    tried = limit(0, monkeypatch)
    result = assets.run(assets.specification(batch_size=10), tmp_path)
    assert tried == [10, 5, 2, 1]
    assert (result.state, result.micro_batch_size, result.failed_step) == ("oom", 1, 1)
    assert result.reason == ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    ("batch", "sizes"), [(50, [25, 10, 5, 2, 1]), (48, [24, 12, 6, 3, 1]), (7, [1]), (1, [])]
)
def test_micro_batches_are_halved_as_far_as_they_divide_the_batch(
    assets: Assets, batch: int, sizes: list[int]
) -> None:
    training = assets.specification(batch_size=batch).training
    found = []
    while smaller := with_smaller_micro_batches(training, longest=1):
        training = smaller
        found.append(training.micro_batch_size)
    assert found == sizes


def test_units_are_halved_as_long_as_they_hold_the_longest_text(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    """The longest text has at most 32 tokens, which is what texts are cut to."""
    options: dict[str, Any] = {"model": "bert", "max_length": 32}
    given = assets.specification("head", **options, micro_batch_units=64)
    expected = assets.run(given, tmp_path)
    sizes = assets.splits("bert")["train"].sizes
    plain = Trainer.loss

    def loss(self: Trainer, indices: list[int]) -> torch.Tensor:
        if len(indices) * max(sizes[index] for index in indices) > 64:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return plain(self, indices)

    monkeypatch.setattr(Trainer, "loss", loss)
    spec = assets.specification("head", **options, micro_batch_units=256)
    result = assets.run(spec, tmp_path)
    assert (result.state, result.micro_batch_units, result.micro_batch_size) == ("ok", 64, None)
    assert (result.metrics, result.losses) == (expected.metrics, expected.losses)
    assert cost_fields(result) == cost_fields(expected)
    assert with_smaller_micro_batches(given.training, longest=33) is None


def test_the_memory_of_the_failed_attempt_is_free_when_the_next_begins(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    limit(4, monkeypatch)
    seen: list[Any] = []
    alive: list[int] = []
    plain = Trainer.__post_init__

    def begin(self: Trainer) -> None:
        alive.append(sum(model() is not None for model in seen))
        seen.append(weakref.ref(self.model))
        plain(self)

    monkeypatch.setattr(Trainer, "__post_init__", begin)
    assets.run(assets.specification("lora", model="bert"), tmp_path)
    assert alive[:3] == [0, 0, 0]  # the fourth predicts the memory of what is alive


@pytest.mark.parametrize(
    ("changes", "again", "remedy"),
    [
        ({"runs_per_device": 4}, True, "memory"),
        ({"runs_per_device": 4}, False, "shrink"),
        ({}, True, "shrink"),
    ],
)
def test_on_a_gpu_that_runs_share_a_further_attempt_has_more_of_it(
    assets: Assets, tmp_path: Path, changes: dict[str, Any], again: bool, remedy: str
) -> None:
    spec = assets.specification(batch_size=10, device="cuda", **changes)
    origin = assets.run(assets.specification(), tmp_path).provenance
    job = Job(spec, None, origin, tmp_path, tmp_path, Interruption(), 600.0, again)
    assert job._remedy(Ending("oom", "no memory", step=1), spec.training) == remedy


def test_on_the_cpu_a_further_attempt_has_more_memory(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    spec = assets.specification(batch_size=10)
    with monkeypatch.context() as patch:
        tried = limit(5, patch)
        assert assets.main(spec, tmp_path, attempt=1, attempts=2) == TRY_AGAIN
        assert tried == [10]
        assert not (run_folder(spec, tmp_path) / RESULT_FILE).exists()
        assert assets.main(spec, tmp_path, attempt=2, attempts=2) == 0
        assert tried[:3] == [10, 10, 5]


def test_an_attempt_with_more_memory_goes_on_from_the_last_checkpoint(
    assets: Assets, tmp_path: Path
) -> None:
    spec = assets.specification(epochs=2)
    assets.run(spec, tmp_path / "whole")

    def full() -> None:
        raise MemoryError

    options = {"attempt": 1, "attempts": 2, "checkpoint_seconds": 0}
    code = interrupted(assets, spec, tmp_path, ("step", 4), full, **options)
    assert code == TRY_AGAIN
    assert assets.main(spec, tmp_path, attempt=2, attempts=2) == 0
    assert assert_same_bits(spec, tmp_path / "whole", tmp_path).resumed_at_steps == (3,)


def test_an_interrupted_run_stays_with_its_smaller_micro_batches(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    spec = assets.specification(epochs=2, batch_size=10)
    limit(2, monkeypatch)
    assets.run(spec, tmp_path / "whole")
    # Steps 1 and 2 of these calls are those that memory ran out in.
    assert interrupted(assets, spec, tmp_path, ("step", 5), ask()) == TRY_AGAIN
    tried = limit(2, monkeypatch)
    assert assets.main(spec, tmp_path) == 0
    result = assert_same_bits(spec, tmp_path / "whole", tmp_path)
    assert (result.micro_batch_size, result.resumed_at_steps) == (2, (3,))
    assert max(tried) == 2
