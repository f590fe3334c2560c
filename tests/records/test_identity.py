"""Identity by content."""

import hashlib
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finegrid.records.base import NAME_PATTERN
from finegrid.records.identity import canonical_json, content_hash, file_sha256, short_hash
from finegrid.records.specification import Specification, Task

HASH = "a" * 64
PLAIN: dict[str, Any] = {
    "task": {
        "name": "films",
        "task": "rated-snippets",
        "source": {"uri": "path:here", "sha256": {"a": HASH}},
        "options": {"domain": "movie", "train": 10},
    },
    "model": {"kind": "network", "name": "net", "layers": [4, 3, 2]},
    "variant": {"name": "lora-r2", "method": "lora", "settings": {"rank": 2, "alpha": 16.0}},
    "training": {"learning_rate": 0.001, "epochs": 2, "batch_size": 8},
    "seed": 0,
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
CHANGES: list[tuple[str, Any]] = [
    ("task.name", "other"),
    ("task.task", "digits"),
    ("task.source.uri", "path:there"),
    ("task.source.sha256.a", "b" * 64),
    ("task.options.train", 11),
    ("model.name", "other"),
    ("model.layers", [4, 3, 3]),
    ("model.seed", 1),
    ("variant.name", "other"),
    ("variant.method", "adapter"),
    ("variant.settings.rank", 3),
    ("training.learning_rate", 0.002),
    ("training.epochs", 3),
    ("training.batch_size", 16),
    ("training.micro_batch_size", 4),
    ("training.micro_batch_units", 512),
    ("training.evaluation_batch_size", 32),
    ("training.max_length", 64),
    ("training.optimizer", {"name": "adam"}),
    ("training.optimizer", {"weight_decay": 0.1}),
    ("training.optimizer", {"betas": [0.8, 0.999]}),
    ("training.optimizer", {"epsilon": 1e-6}),
    ("training.optimizer", {"momentum": 0.5}),
    ("training.schedule", "cosine"),
    ("training.warmup_fraction", 0.1),
    ("training.gradient_clip_norm", None),
    ("training.gradient_checkpointing", True),
    ("training.dropout", 0.0),
    ("training.dropout_scope", "trained"),
    ("training.label_smoothing", 0.1),
    ("training.learning_rates", {"head": 1e-3}),
    ("training.evaluation_examples", 10),
    ("training.evaluations", 2),
    ("training.checkpoint", "last"),
    ("training.dtype", "bf16"),
    ("training.device", "cuda"),
    ("training.threads", 2),
    ("training.devices", 2),
    ("seed", 1),
]


def spec_of(plain: Any) -> Specification:
    return Specification.model_validate_json(canonical_json(plain))


def changed(path: str, value: Any) -> Any:
    plain = spec_of(PLAIN).model_dump(mode="json")
    *parents, last = path.split(".")
    inner = plain
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return plain


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_the_order_of_keys_means_nothing(value: Any) -> None:
    assert canonical_json(reversed_keys(value)) == canonical_json(value)
    assert content_hash(reversed_keys(value)) == content_hash(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_no_identity(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": [value]})


def test_the_text_is_compact_and_ascii() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"\\u00e9","b":[1,2.5,null]}'


def test_the_hash_is_that_of_the_text() -> None:
    expected = hashlib.sha256(b'{"a":1}').hexdigest()
    assert content_hash({"a": 1}) == expected
    assert short_hash({"a": 1}) == expected[:8]


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\x00\xff" * 100_000)
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_field_of_training_is_changed_below() -> None:
    fields = {path.split(".")[1] for path, _ in CHANGES if path.startswith("training.")}
    not_alone = {"strategy", "nodes", "weights", "double_quantisation", "runs_per_device"}
    assert fields | not_alone == set(type(spec_of(PLAIN).training).model_fields)


@pytest.mark.parametrize(("path", "value"), CHANGES)
def test_every_field_is_part_of_the_identity(path: str, value: Any) -> None:
    other = spec_of(changed(path, value))
    assert other != spec_of(PLAIN)
    assert other.run != spec_of(PLAIN).run
    assert other.run[-8:] != spec_of(PLAIN).run[-8:]


def test_how_weights_are_held_is_part_of_the_identity() -> None:
    computed = changed("training.dtype", "bf16")
    runs = {
        spec_of(computed | {"training": computed["training"] | {"weights": held}}).run
        for held in ("fp32", "bf16", "fp16")
    }
    assert len(runs) == 3
    assert spec_of(computed).run in runs


def test_how_devices_share_is_part_of_the_identity_of_a_shared_run() -> None:
    shared = changed("training.devices", 2)
    for change in ({"strategy": "fsdp"}, {"nodes": 2}):
        other = shared | {"training": shared["training"] | change}
        assert spec_of(other).run != spec_of(shared).run


def test_a_run_on_one_device_has_the_name_that_it_had_before_runs_could_be_shared() -> None:
    assert spec_of(PLAIN).run == "films-net-lora-r2-s0-87d9a8eb"


def test_the_identity_of_a_run_is_stable() -> None:
    spec = spec_of(PLAIN)
    assert spec_of(reversed_keys(PLAIN)).run == spec.run
    assert Specification.model_validate_json(spec.model_dump_json()).run == spec.run
    assert spec_of(spec.model_dump(mode="json", exclude_defaults=True)).run == spec.run
    assert re.fullmatch(r"films-net-lora-r2-s0-[0-9a-f]{8}", spec.run)
    assert re.match(NAME_PATTERN, spec.run)
    assert spec.cell == "films-net-lora-r2"


def test_the_key_of_a_task_follows_its_content() -> None:
    task = spec_of(PLAIN).task
    other = Task.model_validate(task.model_dump() | {"options": {}})
    assert task.key.startswith("films-")
    assert task.key != other.key
