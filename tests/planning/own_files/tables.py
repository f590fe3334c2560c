"""Table files, a benchmark on them, and what is prepared of it."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.prepare.task import prepare_task
from finegrid.records.specification import Task

Problems = Callable[[Any], list[str]]
TEXTS = {"text": "review", "label": "stars"}
SPLIT = {"validation": 0.2, "test": 0.3}
ROWS = [["review", "stars"], *([f"text {n}", str(n % 2)] for n in range(20))]


def written(name: str, content: Any, **options: Any) -> str:
    """A file of rows, or of the text or bytes that are given."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        with path.open("w", newline="", encoding=options.pop("encoding", "utf-8")) as stream:
            csv.writer(stream, **options).writerows(content)
    return name


def own(small: dict[str, Any], **task: Any) -> dict[str, Any]:
    """The small benchmark's transformer on a task of files, which is called `own`."""
    tasks = {"own": {"kind": "text-classification", "columns": TEXTS} | task}
    return small | {"grids": [small["grids"][1] | {"tasks": ["own"]}], "tasks": tasks}


def planned(small: dict[str, Any], **task: Any) -> Task:
    return next(iter(make_plan(parse_benchmark(own(small, **task))).runs.values())).task


def prepared(task: Task, folder: Path) -> dict[str, pd.DataFrame]:
    """The splits of the prepared task, labels by their names."""
    manifest = prepare_task(task, folder / task.key)
    frames: dict[str, pd.DataFrame] = {}
    for name in manifest.splits:
        frame = pd.read_parquet(folder / task.key / f"{name}.parquet")
        labels = frame["label"]
        frames[name] = frame.assign(
            label=[manifest.labels[at] for at in labels] if manifest.labels else labels
        )
    return frames


def read(small: dict[str, Any], folder: Path, train: str, **task: Any) -> list[tuple[str, str]]:
    """Texts and labels of a training file, beside plain files of the two other splits."""
    labels = task.pop("labels", ["0", "1"])
    for split in ("validation", "test"):
        rows = [["review", "stars"], *([f"{split} {label}", label] for label in labels)]
        written(f"{split}.csv", rows)
    files = {"train": train, "validation": "validation.csv", "test": "test.csv"}
    frame = prepared(planned(small, files=files, **task), folder / "prepared")["train"]
    return list(zip(frame["text"], frame["label"], strict=True))
