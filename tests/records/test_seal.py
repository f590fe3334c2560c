"""A record that carries its own hash is refused once it holds anything else."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from analysis.errors import AnalysisError
from analysis.reading import read_record
from records import result as module
from records.identity import content_hash
from records.result import RESULT_FILE, Result

REFERENCE = Path(module.__file__).parents[1] / "results" / "reference" / "runs"


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
