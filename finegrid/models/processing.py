"""What a repository says of how inputs other than texts are processed. Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NESTED_FILE, FILE = "processor_config.json", "preprocessor_config.json"
"""The one holds a part for each modality, and comes first; the other holds one part alone."""
FILES = (FILE, NESTED_FILE)
PARTS = ("image_processor", "feature_extractor")
"""What a processor may have beside a tokenizer."""
_CODE = "auto_map"


class ProcessorError(ValueError):
    """Files that do not say how inputs are processed: one line with the reason."""


def processor_settings(files: Mapping[str, Path], part: str) -> dict[str, Any]:
    """What these files, by their names, say of a part, such as `image_processor`.

    Raises ProcessorError where they say nothing, cannot be read, or ask for code of their own.
    """
    nested = _content(files[NESTED_FILE]).get(part) if NESTED_FILE in files else None
    if nested is None and FILE not in files:
        raise ProcessorError(f"no {FILE}, which says how inputs are processed; allowed: one")
    found = nested if isinstance(nested, dict) else _content(files[FILE])
    if _CODE in found:
        raise ProcessorError(
            f"{FILE}: {_CODE} names code of its own, which is never run; allowed: a processor of "
            "the library's own classes, and no such key"
        )
    return found


def _content(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ProcessorError(f"{path.name} cannot be read: {error}") from error
