"""The anatomy of one model, as `finegrid anatomy` shows it."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from finegrid.models.anatomy import ALL_ROLES, Anatomy
from finegrid.models.coverage import refusal, unnamed_share
from finegrid.models.discovery import AnatomyError, build, discover
from finegrid.models.summary import attention_lines, rows

HEADERS = ["stack", "role", "layers", "path", "in -> out", "stored", "rows of a fused layer"]
_CONFIGURATION = "config.json"


def find(model: str, loader: str | None = None) -> tuple[str, Anatomy]:
    """The name of a model's class, and its anatomy.

    `model` is a folder with a configuration, or one of the library's model types. Raises
    AnatomyError with one line.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()
    built: Any = build(_configuration(model), loader)
    if hasattr(built, "can_generate") and built.can_generate():
        built.new_head = False  # as a run has it: pretraining has seen what it writes with
    return type(built).__name__, discover(built)


def _configuration(model: str) -> Any:
    from transformers import CONFIG_MAPPING, AutoConfig

    folder = Path(model)
    if folder.is_dir() and not (folder / _CONFIGURATION).is_file():
        raise AnatomyError(f"model: {model!r} has no {_CONFIGURATION}")
    if not folder.is_dir() and model not in CONFIG_MAPPING:
        near = difflib.get_close_matches(model, list(CONFIG_MAPPING), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        allowed = f"a folder with a {_CONFIGURATION}, or a model type of transformers"
        raise AnatomyError(f"model: {model!r} is not allowed; allowed: {allowed}{hint}")
    try:
        if folder.is_dir():
            return AutoConfig.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
        return AutoConfig.for_model(model)
    except Exception as error:  # whatever the library raises for such a file
        raise AnatomyError(f"model: {model!r}: {' '.join(str(error).split())}") from error


def table(anatomy: Anatomy) -> list[list[str]]:
    """The rows of the table of parts."""
    return [
        [row.stack, row.role, str(row.number), row.pattern, row.sizes, row.stored, row.rows]
        for row in rows(anatomy)
    ]


def remarks(anatomy: Anatomy) -> list[str]:
    """What stands below the table, one line each."""
    blocks = ", ".join(f"{count} {stack}" for stack, count in anatomy.stacks.items()) or "none"
    every = refusal(anatomy, (ALL_ROLES,))
    lines = {
        "reads": anatomy.reads,
        "blocks": blocks,
        "named": f"{100 * (1 - unnamed_share(anatomy)):.1f} % of {anatomy.block_weights} weights",
        "all": f"refused: {every}" if every else "every linear layer",
        "prefix": "; ".join(attention_lines(anatomy)),
        "head": ", ".join(anatomy.head) or "none",
        "optional": ", ".join(anatomy.optional),
        "embeddings": anatomy.embeddings or "none",
        "output": anatomy.output or "",
        "positions": str(anatomy.positions or "no limit") if anatomy.embeddings else "",
        "ends": "known" if anatomy.sums_known else "not known: no adapter after a sublayer",
    }
    return [f"{key:>10}  {value}" for key, value in lines.items() if value]
