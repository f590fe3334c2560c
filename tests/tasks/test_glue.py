from pathlib import Path
from typing import Any, get_args, get_type_hints

import pandas as pd
import pytest

from tasks.glue import Glue

SUBSETS = get_args(get_type_hints(Glue)["subset"])


def write(folder: Path, task: Glue, columns: tuple[str, ...], scored: int = 3) -> Path:
    for name, rows in zip(task.files(), (12, scored), strict=True):
        frame = pd.DataFrame(
            {column: [f"{column} {at}" for at in range(rows)] for column in columns}
        )
        frame["label"] = [at % 2 for at in range(rows)]
        frame["idx"] = range(rows)
        (folder / name).parent.mkdir(exist_ok=True)
        frame.to_parquet(folder / name)
    return folder


@pytest.mark.parametrize("subset", SUBSETS)
def test_files_are_the_training_and_the_scored_one(subset: Any) -> None:
    scored = "validation_matched" if subset == "mnli" else "validation"
    assert Glue(subset).files() == (
        f"{subset}/train-00000-of-00001.parquet",
        f"{subset}/{scored}-00000-of-00001.parquet",
    )


@pytest.mark.parametrize(
    ("subset", "columns"),
    [
        ("cola", ("sentence",)),
        ("sst2", ("sentence",)),
        ("mrpc", ("sentence1", "sentence2")),
        ("qqp", ("question1", "question2")),
        ("mnli", ("premise", "hypothesis")),
        ("qnli", ("question", "sentence")),
        ("rte", ("sentence1", "sentence2")),
        ("stsb", ("sentence1", "sentence2")),
    ],
)
def test_the_inputs_of_each_subset(tmp_path: Path, subset: Any, columns: tuple[str, ...]) -> None:
    task = Glue(subset, validation=2)
    splits = task.read(write(tmp_path, task, columns))
    official = task.files()[1].split("/")[1].split("-")[0]
    inputs = ["text", "text_pair"][: len(columns)]
    assert list(splits["test"].columns) == ["id", *inputs, "label"]
    assert splits["test"].iloc[1].to_dict() == {
        "id": f"{official}-1",
        **{name: f"{column} 1" for name, column in zip(inputs, columns, strict=True)},
        "label": 1,
    }


def test_validation_is_held_out_of_train_and_none_takes_the_rest(tmp_path: Path) -> None:
    task = Glue("rte", validation=5)
    splits = task.read(write(tmp_path, task, ("sentence1", "sentence2")))
    assert {name: len(rows) for name, rows in splits.items()} == {
        "validation": 5,
        "train": 7,
        "test": 3,
    }
    ids = set(splits["train"]["id"]) | set(splits["validation"]["id"])
    assert ids == {f"train-{at}" for at in range(12)}


def test_a_shorter_training_set_is_the_start_of_the_longer(tmp_path: Path) -> None:
    folder = write(tmp_path, Glue("sst2"), ("sentence",))
    long = Glue("sst2", train=7, validation=3).read(folder)
    short = Glue("sst2", train=4, validation=3).read(folder)
    assert list(short["train"]["id"]) == list(long["train"]["id"])[:4]
    assert list(short["validation"]["id"]) == list(long["validation"]["id"])
    other = Glue("sst2", train=7, validation=3, split_seed=1).read(folder)
    assert list(other["train"]["id"]) != list(long["train"]["id"])


def test_too_few_examples_name_the_option(tmp_path: Path) -> None:
    folder = write(tmp_path, Glue("sst2"), ("sentence",))
    with pytest.raises(ValueError, match="train: 8 examples asked for, 7 available of 12"):
        Glue("sst2", train=8, validation=5).read(folder)


def test_metrics_and_kinds() -> None:
    tasks = {subset: Glue(subset) for subset in SUBSETS}
    assert {name: task.metrics for name, task in tasks.items()} == {
        "cola": ("matthews_correlation",),
        "sst2": ("accuracy",),
        "mrpc": ("accuracy", "f1"),
        "qqp": ("accuracy", "f1"),
        "mnli": ("accuracy",),
        "qnli": ("accuracy",),
        "rte": ("accuracy",),
        "stsb": ("pearson", "spearman"),
    }
    assert [name for name, task in tasks.items() if task.kind == "text-regression"] == ["stsb"]
    assert tasks["mnli"].labels == ("entailment", "neutral", "contradiction")
