"""What records refuse."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from finegrid.records.base import Name, Record
from finegrid.records.plan import Cell, Plan
from finegrid.records.result import Machine, Metrics, Parameters, Provenance, Result, Score
from finegrid.records.specification import Source, Specification
from finegrid.records.training import Training

HASH = "0" * 64
COMMIT = "0" * 40
NAMES = TypeAdapter(Name)
COUNTS = dict.fromkeys(("adapter", "head", "norm", "bias", "embedding", "rest"), 1)
SPEC = Specification.model_validate_json(
    """{"task": {"name": "films", "task": "t", "source": {"uri": "path:x"}},
    "model": {"kind": "network", "name": "net", "layers": [4, 3, 2]},
    "variant": {"name": "v", "method": "m"},
    "training": {"learning_rate": 0.1, "epochs": 1, "batch_size": 8}, "seed": 0}"""
)
TRIAL = SPEC.model_copy(update={"role": "trial"})
SCORE = {"accuracy": Score(value=0.5, n=2)}
TRIAL_METRICS = Metrics(primary="accuracy", validation=SCORE, test={}, best_step=1)


class Example(Record):
    """A record of each kind of field."""

    rate: float
    count: Annotated[int, Field(ge=0)] = 0
    flag: bool = False
    text: str = ""


@pytest.mark.parametrize("name", ["a", "lora-r8", "0.5", "a_b", "x" * 121])
def test_a_safe_name_is_taken(name: str) -> None:
    assert NAMES.validate_python(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "../x", "..", ".hidden", "-rf", "a/b", "a\\b", "$(x)", "A", "a b", "a\n", "a\nb", "\n"],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        NAMES.validate_python(name)


@pytest.mark.parametrize(
    "name", ["x" * 122, "x" * 200, "é", "a;b", "a'b", "a*", "{a}", "a\x00", "\uff41", "_a"]
)
def test_a_name_that_is_too_long_or_odd_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        NAMES.validate_python(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"rate": 1.0, "extra": 1}', "extra"),
        ('{"rate": "1e-3"}', "rate"),
        ('{"rate": 1.0, "count": 1.5}', "count"),
        ('{"rate": 1.0, "count": "1"}', "count"),
        ('{"rate": 1.0, "count": true}', "count"),
        ('{"rate": 1.0, "count": -1}', "count"),
        ('{"rate": 1.0, "flag": 1}', "flag"),
        ('{"rate": 1.0, "flag": "yes"}', "flag"),
        ('{"rate": 1.0, "text": 1}', "text"),
        ('{"rate": true}', "rate"),
        ('{"rate": null}', "rate"),
        ('{"rate": NaN}', "rate"),
        ('{"rate": Infinity}', "rate"),
        ("{}", "rate"),
    ],
)
def test_a_record_is_closed_and_strict(text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Example.model_validate_json(text)


def test_a_whole_number_is_a_float() -> None:
    assert Example.model_validate_json('{"rate": 1}').rate == 1.0


def test_a_record_is_frozen() -> None:
    example = Example(rate=1.0)
    with pytest.raises(ValidationError):
        example.rate = 2.0


def test_a_record_comes_back_from_its_file(tmp_path: Path) -> None:
    SPEC.write(tmp_path / "spec.json")
    assert Specification.read(tmp_path / "spec.json") == SPEC
    assert (tmp_path / "spec.json").read_text().endswith("}\n")
    with pytest.raises(FileNotFoundError):
        Specification.read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("uri", "revision"),
    [
        ("hub:owner/name", None),
        ("path:x", COMMIT),
        ("package:x/y", COMMIT),
        ("hub:owner/name", "main"),
        ("hub:owner/name", "A" * 40),
        ("hub:owner/name", COMMIT[:-1]),
        ("http://x", None),
        ("hub:", COMMIT),
        ("path: a", None),
        ("hub:owner/a name", COMMIT),
    ],
)
def test_a_source_that_is_not_pinned_is_refused(uri: str, revision: str | None) -> None:
    with pytest.raises(ValidationError):
        Source(uri=uri, revision=revision)


def test_a_pinned_source_is_taken() -> None:
    assert Source(uri="hub:owner/name", revision=COMMIT).revision == COMMIT
    assert Source(uri="sdist:a==1/b").revision is None
    with pytest.raises(ValidationError, match="sha256"):
        Source(uri="path:x", sha256={"a": "short"})


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.0},
        {"epochs": 0},
        {"batch_size": 0},
        {"warmup_fraction": 1.0},
        {"dropout": 1.0},
        {"gradient_clip_norm": 0.0},
        {"schedule": "step"},
        {"dtype": "fp16"},
        {"optimizer": {"name": "lion"}},
        {"micro_batch_size": 3},
        {"micro_batch_size": 16},
        {"micro_batch_size": 4, "micro_batch_units": 512},
        {"micro_batch_units": 0},
    ],
)
def test_training_out_of_range_is_refused(change: dict[str, Any]) -> None:
    plain = SPEC.training.model_dump(mode="json") | change
    with pytest.raises(ValidationError):
        Training.model_validate_json(json.dumps(plain))


def test_the_split_of_parameters_sums_up() -> None:
    fixed = {"base": 9, "expected": 6, "stored": 6, "stored_bytes": 0}
    assert Parameters(trainable=6, **fixed, **COUNTS).trainable == 6
    with pytest.raises(ValidationError, match="the split sums to 6, trainable is 7"):
        Parameters(trainable=7, **fixed, **COUNTS)


def machine() -> Machine:
    return Machine(
        hostname="h", system="s", processor="p", cores=1, memory_bytes=1, accelerator=None
    )


def parts() -> dict[str, Any]:
    """A valid ok result, as its parts."""
    provenance = Provenance(
        git_commit=None,
        git_dirty=None,
        source_digest=HASH,
        packages={},
        python="3",
        machine=machine(),
        device="cpu",
        threads=1,
        dtype="fp32",
        deterministic=True,
        seeds={},
        data_sha256=None,
        model_sha256=None,
        started_at="now",
    )
    return {
        "run": SPEC.run,
        "spec": SPEC,
        "state": "ok",
        "metrics": Metrics(primary="accuracy", validation=SCORE, test=SCORE, best_step=1),
        "parameters": Parameters(
            base=9, trainable=6, expected=6, stored=6, stored_bytes=0, **COUNTS
        ),
        "provenance": provenance,
    }


def test_a_complete_result_comes_back(tmp_path: Path) -> None:
    result = Result(**parts())
    result.write(tmp_path / "result.json")
    assert Result.read(tmp_path / "result.json") == result
    assert Result(**parts() | {"state": "oom", "reason": "full", "metrics": None}).state == "oom"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": "another"}, "is not the identity of its spec"),
        ({"state": "oom"}, "state oom needs a reason"),
        ({"state": "diverged", "reason": ""}, "state diverged needs a reason"),
        ({"state": "failed"}, "state failed needs a reason"),
        ({"metrics": None}, "an ok run has metrics"),
        ({"parameters": None}, "an ok run has parameters"),
        ({"metrics": TRIAL_METRICS}, "a run has a test score and a trial has none"),
        ({"spec": TRIAL, "run": TRIAL.run}, "a run has a test score and a trial has none"),
        ({"state": "done"}, "state"),
        ({"note": "x"}, "note"),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Result(**parts() | change)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_is_a_number(value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Score(value=value, n=1)
    with pytest.raises(ValidationError):
        Score(value=0.5, n=0)


def test_a_plan_lists_the_runs_of_its_cells(tmp_path: Path) -> None:
    cell = Cell(task="films", model="net", variant="v", method="m", runs={SPEC.run: SPEC})
    other = Cell(task="films", model="net", variant="w", method="n", not_applicable="no")
    plan = Plan(benchmark="b", cells=(cell, other))
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json").runs == {SPEC.run: SPEC}
