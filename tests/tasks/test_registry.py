import dataclasses
import subprocess
import sys

import pytest
from pydantic import JsonValue, ValidationError

from finegrid.metrics.registry import METRICS
from finegrid.records.registry import UnknownNameError
from kinds.registry import kind_named
from tasks.registry import TASKS

REQUIRED: dict[str, dict[str, JsonValue]] = {
    "table-files": {
        "splits": {"train": "a.csv", "validation": "b.csv", "test": "c.csv"},
        "columns": {"text": "review", "label": "stars"},
        "kind": "text-classification",
        "labels": ["bad", "good"],
    },
    "labelled-folders": {"kind": "image-classification", "labels": ["cat", "dog"]},
    "glue": {"subset": "rte"},
    "commonsense": {"subset": "piqa"},
    "metamath": {"scored": {"uri": "hub:openai/gsm8k", "revision": "0" * 40}},
    "verses": {"spanish": {"uri": "path:spanish"}},
    "given-points": {"x": [[1], [2], [3], [4], [5]], "y": [1, 2, 3, 4, 5], "held_out": 0},
}
HEAVY = ("pandas", "numpy", "pyarrow", "torch", "transformers", "datasets")


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_is_a_frozen_dataclass_that_documents_its_data(name: str) -> None:
    task = TASKS.build(name, REQUIRED.get(name, {}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(task, "train", 1)  # noqa: B010 - the plain form does not pass the type check
    assert len(type(task).__doc__ or "") > 200
    assert task.metrics
    assert set(task.metrics) <= set(METRICS)
    truths = kind_named(task.kind, task.kind_options).output.truths
    assert (truths in ("classes", "tags")) == bool(task.labels)


@pytest.mark.parametrize("name", list(TASKS))
def test_an_unknown_option_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValidationError, match="trian"):
        TASKS.build(name, {**REQUIRED.get(name, {}), "trian": 3})


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("rated-snippets", "domain", "films"),
        ("rated-snippets", "threshold", -0.1),
        ("rated-snippets", "threshold", "0.3"),
        ("rated-snippets", "train", 0),
        ("rated-snippets", "train", 10.0),
        ("rated-snippets", "test", "10"),
        ("rated-snippets", "split_seed", -1),
        ("digits", "rotation", 45),
        ("digits", "inverted", 1),
        ("digits", "classes", [3]),
        ("digits", "classes", [3, 10]),
        ("digits", "classes", [3, 3]),
        ("digits", "part", "half"),
        ("digits", "part", "source"),
        ("digits", "source_size", 100),
        ("digits", "validation", True),
        ("glue", "subset", "wnli"),
        ("glue", "train", 0),
        ("glue", "validation", None),
        ("table-files", "splits", {"train": 1}),
        ("table-files", "columns", {"text": "review"}),
        ("table-files", "kind", "text-regression"),
        ("table-files", "kind", "text-classifcation"),
        ("table-files", "columns", {"text": ["review"], "label": "stars"}),
        ("table-files", "labels", []),
        ("labelled-folders", "kind", "image-classifcation"),
        ("labelled-folders", "labels", []),
        ("table-files", "split", {"validation": 0.1}),
        ("given-points", "x", [[1]]),
        ("given-points", "x", [[1], [2], [3], [4], []]),
        ("given-points", "x", [[1], [2], [3], [4], [5, 6]]),
        ("given-points", "x", [[1], [2], [3], [4], ["5"]]),
        ("given-points", "y", [1, 2, 3, 4]),
        ("given-points", "y", [1, 2, 3, 4, "5"]),
        ("given-points", "held_out", 1),
        ("given-points", "held_out", 3),
        ("given-points", "held_out", -1),
    ],
)
def test_a_wrong_option_is_refused_by_name(name: str, option: str, value: JsonValue) -> None:
    with pytest.raises(ValidationError) as caught:
        TASKS.build(name, {**REQUIRED.get(name, {}), option: value})
    assert option in str(caught.value)
    assert caught.value.error_count() == 1


def test_a_required_option_is_named() -> None:
    with pytest.raises(ValidationError, match="subset"):
        TASKS.build("glue", {})


def test_options_come_as_json_gives_them() -> None:
    task = TASKS.build(
        "digits", {"classes": [7, 1], "rotation": 90, "part": "target", "source_size": 9}
    )
    assert task.labels == ("7", "1")
    assert dataclasses.asdict(task)["rotation"] == 90  # type: ignore[call-overload]


def test_an_unknown_task_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'digits'"):
        TASKS.build("digit", {})


def test_listing_and_checking_tasks_loads_nothing_heavy() -> None:
    code = (
        "import sys; from tasks.registry import TASKS; TASKS.build('digits', {});"
        f"print(len(list(TASKS)), [name for name in {HEAVY} if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == f"{len(list(TASKS))} []"
