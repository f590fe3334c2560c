"""A local source is known by its content: what a plan lists of it, and when it has changed."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from finegrid.planning.benchmark import load_yaml, parse_benchmark
from finegrid.planning.pinning import pinned
from finegrid.planning.plan import make_plan
from finegrid.prepare import hashes as module
from finegrid.prepare.examined import Examiner
from finegrid.prepare.hashes import Hashes
from finegrid.prepare.model import prepare_model
from finegrid.prepare.sources import SourceError
from finegrid.prepare.task import prepare_task
from finegrid.problems import ConfigurationError
from finegrid.records.identity import file_sha256
from finegrid.records.plan import Plan
from finegrid.records.specification import Checkpoint, Specification, Task, model_key
from tests.small import REPOSITORY
from workflow.pipeline import Pipeline

DATA_FILES = ("sst2/train-00000-of-00001.parquet", "sst2/validation-00000-of-00001.parquet")
CONFIGURATION = {
    "model_type": "bert",
    "vocab_size": 100,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")
CONTENT: dict[str, Any] = {
    "name": "own",
    "seeds": [0],
    "interval": False,
    "training": {"epochs": 1, "batch_size": 8, "max_length": 32, "learning_rate": 0.01},
    "tasks": {
        "own": {
            "task": "glue",
            "source": {"uri": "path:data"},
            "options": {"subset": "sst2", "validation": 2},
        }
    },
    "models": {
        "bert": {"kind": "checkpoint", "source": {"uri": "path:bert"}},
        "made": {
            "kind": "random",
            "configuration": CONFIGURATION,
            "tokenizer": {"uri": "path:bert/tokenizer.json"},
        },
    },
    "grids": [
        {"tasks": ["own"], "models": ["bert", "made"], "variants": {"f": {"method": "full"}}}
    ],
}


def write_weights(value: float) -> None:
    """A file of weights, of which planning reads the header."""
    name = "bert.embeddings.word_embeddings.weight"
    weights = np.full((100, 16), value, dtype="float32")
    save_file({name: weights}, "bert/model.safetensors")


def edit(file: str) -> None:
    """Another content that can be read as well."""
    if file.endswith(".safetensors"):
        write_weights(1.0)
    else:
        Path(file).write_text('{"other": 1}')


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data and a model of the user's own, in the working folder."""
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"idx": range(6), "sentence": list("abcdef"), "label": [0, 1] * 3})
    for name in DATA_FILES:
        Path("data", name).parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(Path("data", name))
    Path("data/notes.md").write_text("not taken")
    Path("bert/more").mkdir(parents=True)
    Path("bert/config.json").write_text(json.dumps(CONFIGURATION))
    for name in (*MODEL_FILES[1:], "training_args.bin", "more/config.json"):
        Path("bert", name).write_text("{}")
    write_weights(0.0)
    return tmp_path


def plan(**changes: Any) -> Plan:
    return make_plan(parse_benchmark(CONTENT | changes))


def of_model(name: str, made: Plan) -> Specification:
    return next(spec for spec in made.runs.values() if spec.model.name == name)


def checkpoint(made: Plan) -> Checkpoint:
    model = of_model("bert", made).model
    assert isinstance(model, Checkpoint)
    return model


@pytest.mark.usefixtures("own")
def test_a_plan_lists_the_hash_of_every_file_that_is_taken_and_of_no_other() -> None:
    made = plan()
    task, model = of_model("bert", made).task, checkpoint(made)
    assert task.source is not None
    assert task.source.sha256 == {name: file_sha256(Path("data", name)) for name in DATA_FILES}
    assert model.source.sha256 == {name: file_sha256(Path("bert", name)) for name in MODEL_FILES}
    other = of_model("made", made).model
    assert other.kind == "random"
    assert list(other.tokenizer.sha256) == ["tokenizer.json"]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("file", "changed"),
    [
        (f"data/{DATA_FILES[0]}", {"own-bert", "own-made"}),
        (f"data/{DATA_FILES[1]}", {"own-bert", "own-made"}),
        ("data/notes.md", set()),
        ("bert/model.safetensors", {"own-bert"}),
        ("bert/tokenizer.json", {"own-bert", "own-made"}),
        ("bert/new.txt", {"own-bert"}),
        ("bert/training_args.bin", set()),
        ("bert/more/config.json", set()),
    ],
)
def test_an_edited_file_makes_other_runs_where_it_is_taken(file: str, changed: set[str]) -> None:
    before = {spec.cell[: -len("-f")]: run for run, spec in plan().runs.items()}
    edit(file)
    after = {spec.cell[: -len("-f")]: run for run, spec in plan().runs.items()}
    assert {cell for cell in before if before[cell] != after[cell]} == changed


@pytest.mark.usefixtures("own")
def test_a_touched_file_changes_nothing() -> None:
    before = plan()
    for path in Path().rglob("*"):
        os.utime(path, (0, 0))
    assert plan() == before


@pytest.mark.parametrize(
    "name",
    [
        *("smoke", "default", "article", "article-programs", "glue", "language", "addresses"),
        *("verses", "headlines"),
    ],
)
def test_what_is_listed_in_full_stays_as_it_is(name: str) -> None:
    """The identities of committed runs: no file is read for them."""
    benchmark = parse_benchmark(load_yaml(REPOSITORY / "config" / f"{name}.yaml"))

    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} is hashed")

    assert pinned(benchmark, refuse) == benchmark


@pytest.mark.usefixtures("own")
def test_a_listed_hash_stays_and_the_other_files_are_added() -> None:
    listed = {DATA_FILES[0]: file_sha256(Path("data", DATA_FILES[0]))}
    source = {"uri": "path:data", "sha256": listed}
    tasks = {"own": CONTENT["tasks"]["own"] | {"source": source}}
    assert plan(tasks=tasks) == plan()
    wrong = {"own": tasks["own"] | {"source": source | {"sha256": {DATA_FILES[0]: "0" * 64}}}}
    with pytest.raises(ConfigurationError, match="its content has changed since") as caught:
        plan(tasks=wrong)
    assert len(caught.value.problems) == 1


@pytest.mark.usefixtures("own")
def test_a_further_source_of_a_task_is_pinned_as_its_first() -> None:
    options = {"spanish": {"uri": "path:data"}}
    entry = {"task": "verses", "source": {"uri": "path:data"}, "options": options}
    made = pinned(parse_benchmark(CONTENT | {"tasks": {"own": entry}})).tasks["own"]
    files = [path for path in Path("data").rglob("*") if path.is_file()]
    listed = {path.relative_to("data").as_posix(): file_sha256(path) for path in files}
    assert made.source is not None
    assert made.source.sha256 == listed
    assert made.options == {"spanish": {"uri": "path:data", "sha256": listed}}


@pytest.mark.usefixtures("own")
def test_what_changes_between_planning_and_preparing_is_refused(tmp_path: Path) -> None:
    made = plan()
    task, model = of_model("bert", made).task, checkpoint(made)
    Path("data", DATA_FILES[1]).write_bytes(b"other")
    with pytest.raises(SourceError, match=r"validation-.* its content has changed since"):
        prepare_task(task, tmp_path / "task")
    Path("bert/model.safetensors").write_bytes(b"other")
    with pytest.raises(SourceError, match=r"file model\.safetensors has .* changed since"):
        prepare_model(model, tmp_path / "model", tmp_path, tmp_path)
    Path("bert/model.safetensors").unlink()
    with pytest.raises(SourceError, match=r"file model\.safetensors not found in path:bert"):
        prepare_model(model, tmp_path / "model", tmp_path, tmp_path)
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.usefixtures("own")
def test_what_is_missing_or_unreadable_is_named_before_any_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("data", DATA_FILES[1]).unlink()
    with pytest.raises(ConfigurationError) as caught:
        plan()
    assert caught.value.problems == [
        f"tasks.own.source: file {DATA_FILES[1]} not found in path:data"
    ]

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    with pytest.raises(ConfigurationError) as caught:
        make_plan(parse_benchmark(CONTENT), Examiner(hashed=refuse))
    [problem] = caught.value.problems
    assert "tasks.own.source: path:data: data/sst2/train" in problem
    assert "cannot be read: Permission denied" in problem


@pytest.mark.usefixtures("own")
def test_a_job_of_an_older_plan_ends_with_a_reason() -> None:
    older = Pipeline.plan_from(CONTENT)
    Path("data", DATA_FILES[0]).write_bytes(b"other")
    newer = Pipeline.plan_from(CONTENT)
    run = next(iter(older.jobs))
    key = Path(older.run_task(run)).parent.name
    for call, name in ((newer.run_task, run), (newer.task_json, key)):
        with pytest.raises(LookupError, match="one of its local sources has changed since"):
            call(name)


@pytest.mark.usefixtures("own")
def test_the_plan_s_job_plans_what_was_pinned() -> None:
    pipeline = Pipeline.plan_from(CONTENT)
    benchmark = parse_benchmark(json.loads(pipeline.benchmark_json))
    assert make_plan(benchmark) == pipeline.plan
    Path("data", DATA_FILES[0]).write_bytes(b"other")
    with pytest.raises(ConfigurationError, match="its content has changed since"):
        make_plan(benchmark)


def test_another_content_is_another_key_of_a_task() -> None:
    source = {"uri": "path:data"}
    keys = {
        Task(name="own", task="glue", source={**source, "sha256": sha256}).key  # type: ignore[arg-type]
        for sha256 in ({}, {"a": "0" * 64}, {"a": "1" * 64})
    }
    assert len(keys) == 3


@pytest.mark.usefixtures("own")
def test_another_content_is_another_key_of_a_model() -> None:
    before = model_key(checkpoint(plan()))
    write_weights(1.0)
    assert model_key(checkpoint(plan())) != before


# Hashes that are kept


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of which the hash is kept, and that has not changed for a while."""
    monkeypatch.setattr(module, "SETTLED_SECONDS", -3600)  # the inode's time cannot be set back
    path = tmp_path / "large"
    path.write_bytes(b"one")
    return path


def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read for their hash."""
    read: list[Path] = []

    def hashed(path: Path) -> str:
        read.append(path)
        return file_sha256(path)

    monkeypatch.setattr(module, "file_sha256", hashed)
    return read


def test_to_look_at_a_benchmark_leaves_no_files(large: Path, tmp_path: Path) -> None:
    Hashes(tmp_path / "results" / "prepared" / "hashes.jsonl")(large)
    assert list(tmp_path.iterdir()) == [large]


def test_a_large_file_is_read_once_however_many_processes_plan(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, kept = reads(monkeypatch), tmp_path / "prepared" / "hashes.json"
    found = {Hashes(kept)(large) for _ in range(3)}
    assert found == {file_sha256(large)}
    assert read == [large]


@pytest.mark.parametrize("way", ["written", "replaced"])
def test_the_times_that_a_user_sets_hide_no_change(large: Path, tmp_path: Path, way: str) -> None:
    kept, before = tmp_path / "hashes.json", large.stat()
    Hashes(kept)(large)
    other = large if way == "written" else tmp_path / "other"
    while large.stat().st_ctime_ns == before.st_ctime_ns:  # within a tick of the system's clock
        other.write_bytes(b"two")
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(large)
    assert large.stat().st_mtime_ns == before.st_mtime_ns
    assert Hashes(kept)(large) == file_sha256(large)


def test_a_file_that_changed_just_now_is_not_trusted(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLED_SECONDS", 2.0)
    Hashes(tmp_path / "hashes.json")(large)
    assert not (tmp_path / "hashes.json").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"x": 1}', "\0"])
def test_damaged_hashes_are_made_again(large: Path, tmp_path: Path, text: str) -> None:
    kept = tmp_path / "hashes.json"
    kept.write_text(text)
    assert Hashes(kept)(large) == file_sha256(large)
    key, value = json.loads(kept.read_text().splitlines()[-1])
    assert (key, value[-1]) == (str(large), file_sha256(large))
    assert Hashes(kept)(large) == file_sha256(large)
