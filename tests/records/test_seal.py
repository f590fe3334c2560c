"""A record that carries its own hash is refused once it holds anything else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from analysis.errors import AnalysisError
from analysis.reading import read_record
from finegrid.records import result as module
from finegrid.records.identity import content_hash
from finegrid.records.result import RESULT_FILE, Result
from finegrid.records.specification import Specification

Change = Callable[[dict[str, Any]], object]

REFERENCE = Path(module.__file__).parents[2] / "results" / "reference" / "runs"


@pytest.fixture(scope="module")
def old() -> Result:
    """A committed record of a run that was made before records were sealed."""
    return Result.read(min(REFERENCE.glob(f"*/{RESULT_FILE}")))


@pytest.fixture
def sealed(old: Result, tmp_path: Path) -> Path:
    path = tmp_path / RESULT_FILE
    old.model_copy(update={"record_sha256": None}).sealed().write(path)
    return path


def test_every_committed_record_can_be_read() -> None:
    paths = list(REFERENCE.glob(f"*/{RESULT_FILE}"))
    assert paths
    assert all(Result.read(path).run == path.parent.name for path in paths)


def test_the_seal_is_the_hash_of_everything_else(sealed: Path) -> None:
    plain = json.loads(sealed.read_text())
    assert plain.pop("record_sha256") == content_hash(plain)
    assert Result.read(sealed).run == plain["run"]


def test_one_flipped_byte_is_refused_wherever_it_is(sealed: Path) -> None:
    content = sealed.read_bytes()
    values = json.loads(content)
    for at in range(0, len(content), 7):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        try:
            same = json.loads(changed) == values  # the last digit of a float may change nothing
        except ValueError:
            same = False
        if not same:
            with pytest.raises(ValidationError):
                Result.model_validate_json(changed)


def test_a_changed_value_is_named_with_both_hashes(sealed: Path) -> None:
    plain = json.loads(sealed.read_text())
    recorded = plain.pop("record_sha256")
    plain["time"]["steps"] += 1
    sealed.write_text(json.dumps(plain | {"record_sha256": recorded}))
    with pytest.raises(AnalysisError) as caught:
        read_record(Result, sealed)
    assert str(caught.value).startswith(f"{sealed}: the record: ")
    assert f"sha256 is {content_hash(plain)}, recorded {recorded}" in str(caught.value)


def test_a_record_that_a_later_version_knows_more_of_keeps_its_seal(sealed: Path) -> None:
    """A new key with a default is in the model and not in the file."""

    class Later(Result):
        added: int = 3

    assert Later.model_validate_json(sealed.read_text()).added == 3


VERSION_1 = {
    "weights_bytes": 1000,
    "gradients_bytes": 600,
    "optimizer_bytes": 1200,
    "activations_bytes": 100,
    "peak_load_bytes": 1000,
    "peak_forward_bytes": 2900,
    "peak_backward_bytes": 2900,
    "peak_step_bytes": 2800,
    "peak_evaluate_bytes": 2300,
    "peak_training_bytes": 2900,
    "batch": [8, 20],
    "instrument": "cpu-allocator-events",
}
"""Of which version 1 made 2900 - 1000 - 1200 - 600 bytes of activations."""


def of_version_1(old: Result, change: Change = lambda plain: None) -> dict[str, Any]:
    """A sealed record as version 1 wrote it, of a changed run."""
    plain: dict[str, Any] = json.loads(old.model_dump_json(exclude={"record_sha256"}))
    plain |= {"schema_version": 1, "memory": dict(VERSION_1), "memory_reason": None}
    change(plain)
    plain["run"] = Specification.model_validate_json(json.dumps(plain["spec"])).run
    return plain | {"record_sha256": content_hash(plain)}


def test_a_record_of_version_1_is_read_as_one_of_version_2(old: Result) -> None:
    plain = of_version_1(old)
    read = Result.model_validate_json(json.dumps(plain))
    assert read.schema_version == 2
    assert read.memory is not None
    assert read.memory.activations_bytes == 2900 - 1000 - 1200
    assert read.memory.peak_training_bytes == 2900
    assert read.record_sha256 is None, "it belongs to the bytes of version 1"
    again = Result.model_validate_json(read.sealed().model_dump_json())
    assert again.model_copy(update={"record_sha256": None}) == read


def test_the_seal_of_version_1_is_checked_against_what_was_written(old: Result) -> None:
    plain = of_version_1(old)
    plain["memory"]["peak_forward_bytes"] += 1
    with pytest.raises(ValidationError, match="sha256 is"):
        Result.model_validate_json(json.dumps(plain))


def test_what_devices_exchange_gradients_in_was_no_activation(old: Result) -> None:
    plain = of_version_1(old, lambda one: one["spec"]["training"].update(devices=2))
    memory = Result.model_validate_json(json.dumps(plain)).memory
    assert memory is not None
    assert memory.activations_bytes == 2900 - 1000 - 1200 - 600


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["spec"]["training"].update(micro_batch_size=8),
        lambda one: one.update(micro_batch_size=4),
    ],
    ids=["planned", "memory ran out"],
)
def test_version_1_did_not_measure_gradients_that_add_up(old: Result, change: Change) -> None:
    read = Result.model_validate_json(json.dumps(of_version_1(old, change)))
    assert read.memory is None
    assert "without the gradients that micro-batches add up" in str(read.memory_reason)


def test_a_whole_batch_as_a_micro_batch_adds_up_nothing(old: Result) -> None:
    def change(plain: dict[str, Any]) -> None:
        plain["spec"]["training"]["micro_batch_size"] = plain["spec"]["training"]["batch_size"]

    assert Result.model_validate_json(json.dumps(of_version_1(old, change))).memory is not None
