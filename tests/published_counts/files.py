"""Small files of published counts, about tiny models."""

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from finegrid.published_counts.golden import Golden
from finegrid.published_counts.rows import Row, verify

DIMS: dict[str, dict[str, Any]] = {
    "roberta-tiny": {"d": 32, "L": 2, "ff": 64, "heads": 2, "vocab": 50},
    "t5-v1_1-tiny": {"d": 32, "d_kv": 8, "heads": 4, "ff": 48, "enc": 2, "dec": 3, "vocab": 50},
    "llama-tiny": {"d": 32, "L": 2, "ff": 64, "heads": 4, "kv": 2, "vocab": 50},
}


def paper(spec: dict[str, Any], expected: int, **changed: Any) -> dict[str, Any]:
    """A row of a file, about the tiny model unless it says otherwise."""
    row: dict[str, Any] = {
        "id": "row",
        "model": "roberta-tiny",
        "spec": spec,
        "stated_as": "",
        "head_counted": False,
        "layernorm_counted": True,
        "expected": expected,
        "published": None,
    }
    return row | changed


def file(*papers: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """The content of a file."""
    return {"model_dims": DIMS, "papers": list(papers), **changed}


def verified(*papers: dict[str, Any], **changed: Any) -> list[Row]:
    """The rows of a file, those of its models' totals as well."""
    return list(verify(Golden.model_validate_json(json.dumps(file(*papers, **changed)))))


def written(folder: Path, content: Any) -> Path:
    """The path of a file with that content, as JSON or as it is."""
    path = folder / "golden.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def quiet() -> Console:
    """A console of 100 columns that shows nothing."""
    return Console(width=100, file=io.StringIO())
