"""The lock of a benchmark: written once with the Hub's help, read by planning without it."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from finegrid.planning.benchmark import as_written, load_content, read_benchmark
from finegrid.planning.lock import Lock, lock_file, read_lock
from finegrid.planning.locking import make_lock
from finegrid.planning.plan import make_plan
from finegrid.problems import ConfigurationError
from finegrid.records.plan import Plan
from finegrid.records.specification import Checkpoint
from tests.prepare.hub_server import Hub, Repository, connect, serving
from tests.small import SIZES, packaged_model

CONFIGURATION = {"model_type": "bert", **SIZES}
WEIGHTS = b"weights" * 1000
MODEL = {
    "README.md": b"a card",
    "config.json": json.dumps(CONFIGURATION).encode(),
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b'{"a": 1}',
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"a pickle",
}
ENTRY: dict[str, Any] = {
    "kind": "text-classification",
    "files": "hub:owner/reviews",
    "columns": {"text": "text", "label": "label"},
    "split": {"validation": 0.2},
}


def table(split: str, rows: int) -> bytes:
    lines = (f"text {n} of {split},{n % 2}" for n in range(rows))
    return "\n".join(["text,label", *lines]).encode()


DATA = {"train.csv": table("train", 20), "test.csv": table("test", 6), "README.md": b""}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a data set and a model, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    with serving() as hub:
        connect(hub, tmp_path / "cache", monkeypatch)
        hub.repositories["dataset", "owner/reviews"] = Repository(DATA)
        hub.repositories["model", "owner/tiny"] = Repository(MODEL)
        yield hub


@pytest.fixture
def file(small: dict[str, Any], tmp_path: Path) -> Path:
    """A benchmark on that data set and that model, by their short forms."""
    grid = small["grids"][1] | {"tasks": ["reviews"], "models": ["tiny"]}
    content = small | {"tasks": {"reviews": ENTRY}, "models": {"tiny": "hub:owner/tiny"}}
    return write(tmp_path / "mine.yaml", content | {"grids": [grid]})


def write(path: Path, content: Any) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def changed(file: Path, section: str, **entries: Any) -> None:
    """Lay entries over those of a section."""
    content = yaml.safe_load(file.read_text())
    write(file, content | {section: content[section] | entries})


def locked(file: Path, *, upgrade: bool = False) -> Lock:
    """What `finegrid lock` writes."""
    made = make_lock(load_content(file), Lock() if upgrade else read_lock([file]))
    made.write(lock_file(file))
    return made


def planned(file: Path) -> Plan:
    return make_plan(read_benchmark(str(file)))


def problems(file: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        planned(file)
    return caught.value.problems


def test_what_is_locked_is_planned_without_the_network(hub: Hub, file: Path) -> None:
    made = locked(file)
    assert lock_file(file).name == "mine.lock.json"
    hub.asked.clear()
    spec = next(iter(planned(file).runs.values()))
    assert hub.asked == []
    assert isinstance(spec.model, Checkpoint)
    data, model = spec.task.source, spec.model
    assert data is not None
    assert data.revision == hub.repositories["dataset", "owner/reviews"].commit
    assert data.sha256 == {name: sha(DATA[name]) for name in ("train.csv", "test.csv")}
    assert spec.task.options["labels"] == ["0", "1"]
    assert made.tasks["reviews"].rows == {"train": 16, "validation": 4, "test": 6}
    assert model.source.revision == hub.repositories["model", "owner/tiny"].commit
    taken = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    assert model.source.sha256 == {name: sha(MODEL[name]) for name in taken}
    assert model.configuration == CONFIGURATION
    assert planned(file) == make_plan(read_benchmark(str(file)))


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_what_comes_beside_a_model_is_locked_with_it(hub: Hub, file: Path) -> None:
    more = {"chat_template.jinja": b"{{ messages }}", "preprocessor_config.json": b"{}"}
    code = {"processing.py": b"import os"}
    hub.repositories["model", "owner/tiny"] = Repository(MODEL | more | code)
    found = locked(file).models["tiny"].source.sha256
    assert {name: found[name] for name in more} == {n: sha(text) for n, text in more.items()}
    assert not code.keys() & found.keys()


def test_weights_are_not_fetched_to_be_locked(hub: Hub, file: Path) -> None:
    locked(file)
    assert not any("safetensors" in path for _, path, _ in hub.asked)


def test_it_is_the_same_with_configfile(hub: Hub, file: Path) -> None:
    locked(file)
    content = as_written({}, [file], ())
    assert content["models"]["tiny"]["source"]["uri"] == "hub:owner/tiny"
    assert content["tasks"]["reviews"]["task"] == "table-files"


def test_what_is_not_locked_names_the_command(hub: Hub, file: Path) -> None:
    assert problems(file) == [
        f"tasks.reviews.files: hub:owner/reviews is not locked; run: finegrid lock {file}",
        f"models.tiny: hub:owner/tiny is not locked; run: finegrid lock {file}",
    ]
    assert hub.asked == []


def test_what_has_changed_since_it_was_locked_names_the_command(hub: Hub, file: Path) -> None:
    locked(file)
    changed(file, "tasks", reviews=ENTRY | {"split": {"validation": 0.3}})
    changed(file, "models", tiny="hub:owner/other")
    assert problems(file) == [
        f"tasks.reviews: this entry has changed since it was locked; run: finegrid lock {file}",
        f"models.tiny: hub:owner/other has changed since it was locked; run: finegrid lock {file}",
    ]


def test_a_lock_stays_at_its_commits_until_it_is_upgraded(hub: Hub, file: Path) -> None:
    before = locked(file)
    hub.repositories["dataset", "owner/reviews"] = Repository(DATA | {"train.csv": table("t", 30)})
    assert locked(file) == before
    after = locked(file, upgrade=True)
    assert after.tasks["reviews"].rows["train"] == 24
    assert after.models == before.models


def test_a_long_form_may_name_its_source_alone(hub: Hub, file: Path) -> None:
    changed(
        file, "models", tiny={"kind": "checkpoint", "source": "hub:owner/tiny", "pooling": "mean"}
    )
    locked(file)
    model = next(iter(planned(file).runs.values())).model
    assert isinstance(model, Checkpoint)
    assert (model.pooling, model.configuration) == ("mean", CONFIGURATION)
    expects = {"kind": "checkpoint", "source": "hub:owner/tiny", "configuration": {"vocab_size": 7}}
    changed(file, "models", tiny=expects)
    assert problems(file) == [
        "models.tiny.configuration.vocab_size: 7 is not allowed; config.json has 30522"
    ]


def test_paths_are_locked_by_their_content(hub: Hub, file: Path, tmp_path: Path) -> None:
    """The folder of a package stands for a folder of one's own."""
    (tmp_path / "my model").symlink_to(packaged_model())
    (tmp_path / "own.csv").write_bytes(DATA["train.csv"])
    changed(file, "models", tiny="path:my model")
    entry = ENTRY | {"files": "own.csv", "split": {"validation": 0.2, "test": 0.2}}
    changed(file, "tasks", reviews=entry)
    unlocked = planned(file)
    made = locked(file)
    assert made.models["tiny"].source.sha256["config.json"]
    assert planned(file) == unlocked, "a lock changes no run"
    (tmp_path / "own.csv").write_bytes(DATA["train.csv"] + b"\nmore,1")
    (problem,) = problems(file)
    assert "file own.csv has sha256" in problem
    assert "its content has changed" in problem
    locked(file)
    assert list(planned(file).runs) != list(unlocked.runs)


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "no such data": (
        "tasks",
        {"reviews": ENTRY | {"files": "hub:owner/none"}},
        "tasks.reviews.files: hub:owner/none: no dataset of that name",
    ),
    "no such configuration": (
        "tasks",
        {"reviews": ENTRY | {"files": "hub:owner/reviews/main"}},
        "tasks.reviews.files: no 'main' below it; allowed: nothing after its name",
    ),
    "a wrong column": (
        "tasks",
        {"reviews": ENTRY | {"columns": {"text": "body", "label": "label"}}},
        "tasks.reviews.columns.text: train.csv has no column 'body'; allowed: 'text', 'label'",
    ),
    "a wrong key": (
        "tasks",
        {"reviews": ENTRY | {"colums": {}}},
        "tasks.reviews.colums: unknown key 'colums': did you mean 'columns'?",
    ),
    "no such model": (
        "models",
        {"tiny": "hub:owner/none"},
        "models.tiny: hub:owner/none: no model",
    ),
    "no owner": (
        "models",
        {"tiny": "hub:tiny"},
        'models.tiny: "hub:tiny" is not allowed; allowed:',
    ),
    "no safetensors": (
        "models",
        {"tiny": "hub:owner/pickled"},
        "models.tiny: hub:owner/pickled: the repository has no model.safetensors, and no model.s",
    ),
    "no tokenizer": (
        "models",
        {"tiny": "hub:owner/mute"},
        "models.tiny: hub:owner/mute: the repository has no tokenizer.json",
    ),
    "no folder": ("models", {"tiny": "path:gone"}, "models.tiny: path gone does not exist in "),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_locked_is_one_line(hub: Hub, file: Path, name: str) -> None:
    pickled = {one: content for one, content in MODEL.items() if "safetensors" not in one}
    mute = {one: content for one, content in MODEL.items() if one != "tokenizer.json"}
    hub.repositories["model", "owner/pickled"] = Repository(pickled)
    hub.repositories["model", "owner/mute"] = Repository(mute)
    section, entries, message = WRONG[name]
    changed(file, section, **entries)
    with pytest.raises(ConfigurationError) as caught:
        make_lock(load_content(file), Lock())
    (problem,) = caught.value.problems
    assert problem.startswith(message)


def test_shards_are_those_that_the_index_names(hub: Hub, file: Path) -> None:
    shards = {f"model-0000{n}-of-00002.safetensors": b"part" * n for n in (1, 2)}
    index = {"metadata": {}, "weight_map": dict(zip(("a", "b"), shards, strict=True))}
    files = {name: content for name, content in MODEL.items() if name != "model.safetensors"}
    files |= shards | {"model.safetensors.index.json": json.dumps(index).encode()}
    hub.repositories["model", "owner/tiny"] = Repository(files)
    found = locked(file).models["tiny"].source.sha256
    assert {name for name in found if name.startswith("model")} == {
        *shards,
        "model.safetensors.index.json",
    }


@pytest.mark.parametrize("entry", ["tiny", "huub:owner/tiny", ""])
def test_a_model_that_is_no_short_form_is_named(hub: Hub, file: Path, entry: str) -> None:
    changed(file, "models", tiny=entry)
    (problem,) = [line for line in problems(file) if line.startswith("models")]
    assert problem == (
        f'models.tiny: "{entry}" is not allowed; allowed: hub:<owner>/<name>, path:<path>, '
        "or a mapping with its kind"
    )


def test_a_broken_lock_names_the_command(hub: Hub, file: Path) -> None:
    lock_file(file).write_text("{")
    assert problems(file) == [
        f"{lock_file(file)}: this is no lock that can be read; run: finegrid lock {file}"
    ]
