"""What planning finds in a checkpoint's files, and which files are fetched. Nothing is loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from records.identity import file_sha256
from records.prepared import MANIFEST_FILE, PreparedModel
from records.specification import Checkpoint, RandomModel, Source, model_key
from records.weights import INDEX_FILE, WEIGHTS_FILE, WeightsError, rename_weights, stored_shapes
from workflow.checkpoint_files import drawn_modules
from workflow.forecast import prepared
from workflow.prepare_model import prepare_model
from workflow.sources import DownloadError, SourceError

Content = dict[str, Any]
Problems = Callable[[Any], list[str]]
REVISION = "0123456789abcdef0123456789abcdef01234567"
CONFIGURATION: Content = {
    "model_type": "bert",
    "vocab_size": 20,
    "hidden_size": 4,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 6,
    "max_position_embeddings": 64,
}


def bert(blocks: int = 3, hidden: int = 4, before: str = "bert.") -> dict[str, Any]:
    """Weights as a BERT's are named, of its layers alone."""
    state: dict[str, Any] = {f"{before}embeddings.word_embeddings.weight": np.ones((20, hidden))}
    parts = ("attention.self.query", "attention.self.key", "attention.self.value")
    for block in range(blocks):
        at = f"{before}encoder.layer.{block}"
        state |= {f"{at}.{part}.weight": np.ones((hidden, hidden)) for part in parts}
        state[f"{at}.attention.output.dense.weight"] = np.ones((hidden, hidden))
        state[f"{at}.intermediate.dense.weight"] = np.ones((6, hidden))
        state[f"{at}.output.dense.weight"] = np.ones((hidden, 6))
    return state


def write(folder: Path, state: dict[str, Any], **configuration: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIGURATION | configuration))
    save_file({k: v.astype("float32") for k, v in state.items()}, folder / WEIGHTS_FILE)
    return folder


def write_shards(folder: Path, state: dict[str, Any], count: int = 3) -> list[str]:
    """The weights in several files, and their index."""
    write(folder, {})
    (folder / WEIGHTS_FILE).unlink()
    names = [f"model-{number + 1:05}-of-{count:05}.safetensors" for number in range(count)]
    for number, name in enumerate(names):
        part = dict(list(state.items())[number::count])
        save_file({k: v.astype("float32") for k, v in part.items()}, folder / name)
    where = {key: names[number % count] for number, key in enumerate(state)}
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return names


def checkpoint(folder: Path, **more: Any) -> Checkpoint:
    configuration = json.loads((folder / "config.json").read_text())
    fields = {"kind": "checkpoint", "name": "tiny", "configuration": configuration}
    return Checkpoint(**fields, source=Source(uri=f"path:{folder}"), **more)


@pytest.fixture
def said(small: Content, problems: Problems, tmp_path: Path) -> Callable[..., list[str]]:
    """What planning says of the checkpoint in a folder."""

    def found(folder: Path, **entry: Any) -> list[str]:
        (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}}))
        source = {"uri": f"path:{folder}"}
        small["models"]["tiny"] = {"kind": "checkpoint", "source": source} | entry
        return problems(small)

    return found


# What planning says


def test_pickles_alone_are_refused(said: Callable[..., list[str]], tmp_path: Path) -> None:
    folder = write(tmp_path / "m", {})
    (folder / WEIGHTS_FILE).rename(folder / "pytorch_model.bin")
    [line] = said(folder)
    assert line.startswith(
        "models.tiny.source: no model.safetensors; pickled weights, such as pyto"
    )
    assert "allowed: weights saved as safetensors, in one file or in shards with" in line


def test_a_shard_that_is_missing_is_named(said: Callable[..., list[str]], tmp_path: Path) -> None:
    names = write_shards(tmp_path / "m", bert())
    (tmp_path / "m" / names[1]).unlink()
    [line] = said(tmp_path / "m")
    assert f"{INDEX_FILE} names {names[1]}, which is not there; allowed: all its shards" in line


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "is no index of weights"),
        ("[]", "is no index of weights"),
        ('{"weight_map": []}', "is no index of weights"),
        ('{"weight_map": {}}', "names no file"),
        ('{"weight_map": {"a": "pytorch_model-1.bin"}}', "names 'pytorch_model-1.bin'; allowed"),
        ('{"weight_map": {"a": "../model.safetensors"}}', "names '../model.safetensors'; allowed"),
        ('{"weight_map": {"a": "/model.safetensors"}}', "names '/model.safetensors'; allowed"),
        ('{"weight_map": {"a": "model-00001-of-00003.safetensors"}}', "has a in model-00001"),
    ],
)
def test_an_index_that_is_none_is_refused(
    said: Callable[..., list[str]], tmp_path: Path, index: str, message: str
) -> None:
    write_shards(tmp_path / "m", bert())
    (tmp_path / "m" / INDEX_FILE).write_text(index)
    [line] = said(tmp_path / "m")
    assert f"{INDEX_FILE} {message}" in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no safetensors file: its header has 0 bytes"),
        (b"\xff" * 8, "is no safetensors file: its header has 18446744073709551615 bytes"),
        (b"\x02" + b"\0" * 7 + b"[]", "is no safetensors file"),
        (b"\x02" + b"\0" * 7 + b"{", "is no safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is no safetensors file"),
    ],
)
def test_a_file_that_holds_no_weights_is_refused(
    said: Callable[..., list[str]], tmp_path: Path, content: bytes, message: str
) -> None:
    (write(tmp_path / "m", {}) / WEIGHTS_FILE).write_bytes(content)
    [line] = said(tmp_path / "m")
    assert f"{WEIGHTS_FILE} {message}" in line


def test_a_file_that_is_cut_short_is_refused(
    said: Callable[..., list[str]], tmp_path: Path
) -> None:
    path = write(tmp_path / "m", bert()) / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1])
    [line] = said(tmp_path / "m")
    size = path.stat().st_size
    assert f"{WEIGHTS_FILE} has {size} bytes, its header says {size + 1}" in line


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (bert(2), "those of 2 blocks, config.json has num_hidden_layers: 3"),
        (bert(4, before="model._orig_mod.bert."), "those of 4 blocks, config.json has num_hid"),
        (bert() | bert(before="ema."), "those of 6 blocks"),
        (
            bert() | {"bert.embeddings.word_embeddings.weight": np.ones((21, 4))},
            "word_embeddings.weight is (21, 4), config.json has vocab_size: 20; allowed",
        ),
        (
            bert() | {"bert.encoder.layer.1.output.dense.weight": np.ones((6, 4))},
            "bert.encoder.layer.1.output.dense.weight is (6, 4), config.json asks for (4, 6)",
        ),
    ],
)
def test_another_model_s_weights_are_refused(
    said: Callable[..., list[str]], tmp_path: Path, state: dict[str, Any], message: str
) -> None:
    [line] = said(write(tmp_path / "m", state))
    assert message in line


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("adapter_config.json", {}, "adapter_config.json adds other weights; allowed: none such"),
        (
            "config.json",
            CONFIGURATION | {"transformers_weights": "other.safetensors"},
            "config.json: transformers_weights: 'other.safetensors' names other weights",
        ),
    ],
)
def test_a_file_that_names_other_weights_is_refused(
    said: Callable[..., list[str]], tmp_path: Path, name: str, content: Content, message: str
) -> None:
    folder = write(tmp_path / "m", bert())
    (folder / name).write_text(json.dumps(content))
    [line] = said(folder)
    assert message in line
    with pytest.raises(SourceError, match=message.split(":")[0]):
        prepare_model(checkpoint(folder), tmp_path / "out", tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("model_type", "state"),
    [
        ("bert", bert()),
        ("bert", bert(before="module.")),
        ("bert", {"names.of.another.layout": np.ones(2)}),
        ("t5", {f"{kind}.block.{n}.layer.0.x": np.ones(2) for kind in "ed" for n in range(9)}),
    ],
)
def test_what_the_library_alone_can_tell_is_left_to_the_preparation(
    small: Content, tmp_path: Path, model_type: str, state: dict[str, Any]
) -> None:
    from workflow.benchmark import parse_benchmark
    from workflow.plan import make_plan

    sizes = {"d_model": 4, "num_layers": 3, "num_heads": 2, "d_ff": 6, "d_kv": 2}
    folder = write(tmp_path / "m", state, model_type=model_type, **sizes)
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}}))
    small["models"]["tiny"] = {"kind": "checkpoint", "source": {"uri": f"path:{folder}"}}
    assert len(make_plan(parse_benchmark(small)).runs) == 6


# A head that is kept


@pytest.mark.parametrize(
    ("more", "configuration", "message"),
    [
        ({}, {}, "models.tiny.source: head: keep, and the checkpoint has no classifier; allowed"),
        (
            {"classifier.weight": np.ones((3, 4))},
            {"id2label": {"0": "a", "1": "b", "2": "c"}},
            "models.tiny.head: the checkpoint's head has 3 outputs; allowed for the task: 2 (task",
        ),
        (
            {"classifier.weight": np.ones((2, 4))},
            {"id2label": {"0": "Positive", "1": "Negative"}},
            "models.tiny.head: the checkpoint's head has the labels Positive, Negative in this ",
        ),
    ],
)
def test_a_head_that_is_kept_has_to_fit(
    said: Callable[..., list[str]],
    tmp_path: Path,
    more: dict[str, Any],
    configuration: Content,
    message: str,
) -> None:
    folder = write(tmp_path / "m", bert() | more, **configuration)
    [line] = said(folder, head="keep")
    assert line.startswith(message)


def test_another_word_than_keep_is_refused(said: Callable[..., list[str]], tmp_path: Path) -> None:
    [line] = said(write(tmp_path / "m", bert()), head="kept")
    assert line.startswith("models.tiny.head: ")
    assert "'new' or 'keep'" in line


# Modules that a checkpoint lacks


def test_a_lacking_pooler_is_known_from_the_files_and_then_from_the_manifest(
    tmp_path: Path,
) -> None:
    lacking = checkpoint(write(tmp_path / "a", bert()))
    whole = write(tmp_path / "b", bert() | {"module.bert.pooler.dense.weight": np.ones((4, 4))})
    assert drawn_modules(lacking) == ("bert.pooler",)
    assert drawn_modules(checkpoint(whole)) == ()
    assert prepared.drawn_modules(lacking, tmp_path) == ("bert.pooler",)
    hub = Checkpoint(
        kind="checkpoint",
        name="hub",
        source=Source(uri="hub:a/b", revision=REVISION),
        configuration=CONFIGURATION,
    )
    assert prepared.drawn_modules(hub, tmp_path) == ()
    manifest = PreparedModel(key="k", spec=hub, files={}, drawn_modules=("bert.pooler",))
    key = model_key(hub)
    manifest.write(tmp_path / "prepared" / "models" / key / MANIFEST_FILE)
    assert prepared.drawn_modules(hub, tmp_path) == ("bert.pooler",)


# Shards


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that the library has saved, with a tokenizer's files."""
    folder = tmp_path_factory.mktemp("whole")
    tokens = folder / "tokens"
    tokens.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tokens / name).write_text("{}")
    made = RandomModel(
        kind="random",
        name="made",
        configuration=CONFIGURATION,
        tokenizer=Source(uri=f"path:{tokens}"),
    )
    prepare_model(made, folder / "made", folder, folder)
    (folder / "made" / MANIFEST_FILE).unlink()
    return folder / "made"


@pytest.fixture
def sharded(whole: Path, tmp_path: Path) -> tuple[Path, list[str]]:
    """The same in shards, and their names."""
    folder = tmp_path / "sharded"
    names = write_shards(folder, load_file(whole / WEIGHTS_FILE))
    for path in whole.iterdir():
        if path.name != WEIGHTS_FILE:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder, names


def test_each_shard_is_taken_and_hashed(sharded: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, names = sharded
    manifest = prepare_model(checkpoint(folder), tmp_path / "out", tmp_path, tmp_path)
    for name in (*names, INDEX_FILE):
        assert manifest.files[name] == file_sha256(folder / name)
    (folder / names[2]).unlink()
    with pytest.raises(SourceError, match=f"names {names[2]}, which is not there"):
        prepare_model(checkpoint(folder), tmp_path / "out", tmp_path, tmp_path)
    assert not (tmp_path / "out" / MANIFEST_FILE).exists()


def test_one_file_of_an_earlier_attempt_is_not_read_in_place_of_shards(
    whole: Path, sharded: tuple[Path, list[str]], tmp_path: Path
) -> None:
    prepare_model(checkpoint(whole), tmp_path / "out", tmp_path, tmp_path)
    again = prepare_model(checkpoint(sharded[0]), tmp_path / "out", tmp_path, tmp_path)
    assert WEIGHTS_FILE not in again.files


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[list[str]]]:
    """Makes a folder a repository of the hub; returns what is asked of it."""

    def serve(folder: Path) -> list[list[str]]:
        asked: list[list[str]] = []

        def download(repository: str, **options: Any) -> str:
            asked.append(options["allow_patterns"])
            return str(folder)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        return asked

    return serve


def of_hub() -> Checkpoint:
    return Checkpoint(
        kind="checkpoint",
        name="hub",
        source=Source(uri="hub:someone/model", revision=REVISION),
        configuration={"model_type": "bert"},
    )


def test_of_a_hub_one_file_is_fetched_or_else_the_shards_of_the_index(
    hub: Callable[[Path], list[list[str]]],
    whole: Path,
    sharded: tuple[Path, list[str]],
    tmp_path: Path,
) -> None:
    folder, names = sharded
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    common = ["config.json", "tokenizer.json", "tokenizer_config.json"]
    asked = hub(whole)
    one = prepare_model(of_hub(), tmp_path / "one", tmp_path, tmp_path)
    assert asked == [common, [WEIGHTS_FILE]]
    assert sorted(one.files) == sorted([*common, WEIGHTS_FILE])
    asked = hub(folder)
    many = prepare_model(of_hub(), tmp_path / "many", tmp_path, tmp_path)
    assert asked == [common, [WEIGHTS_FILE], [INDEX_FILE], names]
    assert sorted(many.files) == sorted([*common, INDEX_FILE, *names])
    (folder / names[0]).unlink()
    with pytest.raises(SourceError, match=f"file {names[0]} not found in hub:someone/model"):
        prepare_model(of_hub(), tmp_path / "other", tmp_path, tmp_path)


def test_of_a_hub_pickles_alone_are_refused(
    hub: Callable[[Path], list[list[str]]], sharded: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, _ = sharded
    (folder / INDEX_FILE).rename(folder / "pytorch_model.bin")
    hub(folder)
    with pytest.raises(SourceError, match=r"hub:someone/model: no model\.safetensors; pickled"):
        prepare_model(of_hub(), tmp_path / "out", tmp_path, tmp_path)


def test_a_hub_that_goes_away_is_no_repository_without_weights(
    monkeypatch: pytest.MonkeyPatch, whole: Path, tmp_path: Path
) -> None:
    def download(repository: str, **options: Any) -> str:
        if WEIGHTS_FILE in options["allow_patterns"]:
            raise RuntimeError("no route")
        return str(whole)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(DownloadError, match="no route"):
        prepare_model(of_hub(), tmp_path / "out", tmp_path, tmp_path)


# Headers


def test_weights_get_other_names_and_keep_their_numbers(tmp_path: Path) -> None:
    state = {f"m.{name}": np.arange(n, dtype="float32") for n, name in enumerate("abcde", 1)}
    write_shards(tmp_path, state)
    files = {path.name: path for path in tmp_path.iterdir()}
    rename_weights(files, {name: name.removeprefix("m.") for name in state})
    assert stored_shapes(files) == {name: (n,) for n, name in enumerate("abcde", 1)}
    shards = [load_file(path) for name, path in files.items() if name.startswith("model-")]
    found = {name: values for shard in shards for name, values in shard.items()}
    assert all(np.array_equal(found[name], state[f"m.{name}"]) for name in "abcde")


def test_a_header_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS_FILE
    path.write_bytes((200_000_000).to_bytes(8, "little"))
    with pytest.raises(WeightsError, match="its header has 200000000 bytes"):
        stored_shapes({WEIGHTS_FILE: path})
