"""A tiny model that writes, and a task of prompts and answers, prepared as a run has them."""

from pathlib import Path
from typing import Any

from finegrid.prepare.model import prepare_model
from finegrid.records.specification import RandomModel, Source, Task, model_key
from kinds.registry import kind_named
from tests.kinds.writing import OWN, SIZES, write_writer
from tests.training.assets import WRITER, Assets, write_task

_KIND = "causal-lm"


def write_assets(root: Path, rows: list[dict[str, Any]]) -> Assets:
    """A tiny Llama and a task of these rows, of which the perplexity is scored."""
    task = Task(name="notes", task="rated-snippets", source=Source(uri="path:none"))
    write_task(root / "prepared", task, _KIND, (), rows, metrics=("perplexity",))
    folder = write_writer(root / "writer", WRITER)
    model = RandomModel.model_validate(
        {
            "kind": "random",
            "name": WRITER,
            "configuration": {"model_type": WRITER, **SIZES, **OWN[WRITER][1]},
            "tokenizer": Source(uri=f"path:{folder}"),
        }
    )
    prepared = root / "prepared"
    places = prepared / "models" / model_key(model), prepared / "tasks", root / "downloads"
    prepare_model(model, *places, [str(kind_named(_KIND).loader)])
    return Assets(prepared, {WRITER: task}, {WRITER: model})
