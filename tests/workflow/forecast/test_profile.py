"""The memory that a profile names, in each way that Snakemake reads its `config`."""

from pathlib import Path
from typing import Any

import pytest

from finegrid.problems import ConfigurationError
from workflow.forecast.profile import device_memory_gb
from workflow.pipeline import Pipeline


def profile(folder: Path, text: str) -> Path:
    (folder / "config.yaml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("config: [results=here, device_memory_gb=80]", 80.0),
        ("config: device_memory_gb=79.5", 79.5),
        ("config: {device_memory_gb: 24}", 24.0),
        ("config: [results=here]", None),
        ("jobs: 5", None),
        ("", None),
    ],
)
def test_it_is_read_where_it_stands(tmp_path: Path, text: str, memory: float | None) -> None:
    assert device_memory_gb(profile(tmp_path, text)) == memory


@pytest.mark.parametrize("value", ["much", "0", "-1", "nan", "inf"])
def test_what_is_no_size_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"device_memory_gb: .* allowed: a number above 0"):
        device_memory_gb(profile(tmp_path, f"config: [device_memory_gb={value}]"))


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere/config\.yaml"):
        device_memory_gb(tmp_path / "nowhere")


def test_snakemake_s_configuration_may_hold_it(small: dict[str, Any]) -> None:
    plain, told = (Pipeline.plan_from(small | more) for more in ({}, {"device_memory_gb": 80}))
    assert told == plain
    with pytest.raises(ConfigurationError, match="device_memory_gb"):
        Pipeline.plan_from(small | {"device_memory_gb": "much"})
