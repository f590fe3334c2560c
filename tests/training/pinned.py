"""Twelve tiny cells, and what they gave when they were pinned.

`python -m tests.training.pinned` writes the file again. It is there for moves of code that are to
change no number, and for nothing else: a change that is meant to change numbers says so.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
from transformers import AutoConfig

from finegrid.prepare.model import prepare_model
from finegrid.records.result import PREDICTIONS_FILE
from finegrid.records.specification import Model, Network, RandomModel, Source, Task, model_key
from tests.training.assets import Assets, Event, make_assets, read_history, write_task

FILE = Path(__file__).parents[1] / "golden" / "cells.json"
CELLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("bert-class", "full", {}),
    ("bert-class", "lora", {"rank": 4}),
    ("bert-class", "adapter", {"size": 8}),
    ("bert-class", "prefix", {"length": 4}),
    ("bert-number", "bitfit", {}),
    ("gpt2-class", "full", {}),
    ("gpt2-class", "lora", {"rank": 4}),
    ("gpt2-number", "prefix", {"length": 4}),
    ("gpt2-number", "ia3", {}),
    ("network-class", "full", {}),
    ("network-class", "lora", {"rank": 4, "targets": ["all"]}),
    ("network-number", "full", {}),
)
"""Model and what it is to predict, method, its settings."""
_TRAINING: dict[str, Any] = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3}


@dataclass(frozen=True)
class Cells:
    """The prepared tasks and models of the cells, and a folder for their runs."""

    assets: Assets
    root: Path

    def observe(self, number: int) -> dict[str, Any]:
        """The loss of every step, and what is predicted for the test split."""
        model, method, settings = CELLS[number]
        folder = self.root / str(number)
        spec = self.assets.specification(method, model=model, settings=settings, **_TRAINING)
        self.assets.run(spec, folder)
        (run,) = (folder / "runs").iterdir()
        table = pq.read_table(run / PREDICTIONS_FILE)
        rows = [row for row in table.to_pylist() if row["split"] == "test"]
        return {"losses": [*_losses(read_history(run))], "predictions": [*map(_numbers, rows)]}


def prepare(root: Path) -> Cells:
    """All that the cells read, below `root`."""
    assets = make_assets(root)
    bert, network = assets.models["bert"], assets.models["network"]
    assert isinstance(bert, RandomModel)
    assert isinstance(network, Network)
    number = network.model_copy(update={"layers": (*network.layers[:-1], 1)})
    models: dict[str, Model] = {
        "bert": bert,
        "gpt2": _gpt2(bert),
        "network": network,
        "network-number": number,
    }
    for model in (models["gpt2"], number):
        folder = assets.prepared / "models" / model_key(model)
        prepare_model(model, folder, tasks=assets.prepared / "tasks", cache=root / "downloads")
    text, images = assets.tasks["bert"], assets.tasks["network"]
    tasks = {"class": text, "number": _regression(assets, text, "text-regression", ("text",))}
    points = _regression(assets, images, "tabular-regression", ("features", "pixels"))
    kinds = {
        f"{name}-{kind}": (task, models[name])
        for name in ("bert", "gpt2")
        for kind, task in tasks.items()
    }
    kinds |= {"network-class": (images, network), "network-number": (points, number)}
    both = {name: pair[0] for name, pair in kinds.items()}, {n: p[1] for n, p in kinds.items()}
    return Cells(replace(assets, tasks=both[0], models=both[1]), root / "runs")


def _regression(assets: Assets, task: Task, kind: Any, column: tuple[str, ...]) -> Task:
    """The same inputs with a number that depends on them, and not on the label alone."""
    folder = assets.prepared / "tasks" / task.key
    rows: list[dict[str, Any]] = []
    for split in ("train", "validation", "test"):
        for row in pq.read_table(folder / f"{split}.parquet").to_pylist():
            value = row[column[-1]]
            rows.append(
                {"id": row["id"], column[0]: value, "label": row["label"] + len(value) / 100}
            )
    other = Task(name=kind, task="digits", source=Source(uri=f"path:{kind}"))
    write_task(assets.prepared, other, kind, (), rows, metrics=("r2",))
    return other


def _gpt2(bert: RandomModel) -> RandomModel:
    config = AutoConfig.for_model(
        "gpt2",
        vocab_size=bert.configuration["vocab_size"],
        n_embd=64,
        n_layer=2,
        n_head=2,
        n_positions=64,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    ).to_diff_dict()
    config.pop("transformers_version", None)
    return bert.model_copy(update={"name": "gpt2", "configuration": config})


def _losses(history: list[Event]) -> Iterator[float]:
    yield from (event["loss"] for event in history if "loss" in event)


def _numbers(row: dict[str, Any]) -> list[float]:
    """The logits of an example, or the number predicted for it."""
    logits = row.get("logits")
    return list(logits) if logits is not None else [row["prediction"]]


def main() -> None:
    """Write the file of what the cells give."""
    with TemporaryDirectory() as folder:
        cells = prepare(Path(folder))
        found = [cells.observe(number) for number in range(len(CELLS))]
    lines = ",\n".join(json.dumps(one, default=float) for one in found)
    FILE.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
