"""What a Snakemake profile says of the device that its jobs get."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finegrid.planning.benchmark import load_yaml
from finegrid.problems import ConfigurationError, refused

DEVICE_MEMORY = "device_memory_gb"
PROFILE_FILE = "config.yaml"


def device_memory_gb(profile: Path) -> float | None:
    """The memory of the profile's device, in units of 10^9 bytes; None where it names none.

    It stands in the profile's `config` as `device_memory_gb=80`. Raises ConfigurationError for a
    profile that cannot be read, and for a value that is no number above 0.
    """
    content = load_yaml(profile / PROFILE_FILE)
    config = content.get("config", {}) if isinstance(content, Mapping) else {}
    value = _pairs(config).get(DEVICE_MEMORY)
    return None if value is None else check_device_memory(value)


def check_device_memory(value: Any) -> float:
    """The value as a number. Raises ConfigurationError."""
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        allowed = "allowed: a number above 0, in units of 10^9 bytes"
        raise ConfigurationError([f"{DEVICE_MEMORY}: {refused(value, allowed)}"])
    return number


def _pairs(config: Any) -> dict[str, Any]:
    """The settings of a profile's `config`: a mapping, or `key=value` by itself or in a list."""
    if isinstance(config, Mapping):
        return dict(config)
    lines = config if isinstance(config, list) else [config]
    return dict(str(line).split("=", 1) for line in lines if "=" in str(line))
