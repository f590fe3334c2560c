"""Which files of a checkpoint are fetched: one, or shards. Nothing is loaded."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from safetensors.numpy import load_file
from transformers import AutoTokenizer

from finegrid.prepare.model import BESIDE, prepare_model
from finegrid.prepare.sources import DownloadError, SourceError
from finegrid.records.damage import check_files
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import MANIFEST_FILE
from finegrid.records.specification import Checkpoint, RandomModel, Source
from finegrid.records.weights import INDEX_FILE, WEIGHTS_FILE
from tests.models.texts import write_tokenizer
from tests.prepare.checkpoints import CONFIGURATION, REVISION, checkpoint, write_shards
from tests.prepare.hub_server import Repository, connect, serving

# Shards


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that the library has saved, with a tokenizer's files."""
    folder = tmp_path_factory.mktemp("whole")
    made = RandomModel(
        kind="random",
        name="made",
        configuration=CONFIGURATION | {"vocab_size": 40},
        tokenizer=write_tokenizer(folder / "tokens"),
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


def test_a_file_with_the_name_of_our_manifest_is_left_behind(whole: Path, tmp_path: Path) -> None:
    """As web applications have it, beside the model that they serve."""
    folder = tmp_path / "source"
    shutil.copytree(whole, folder)
    (folder / MANIFEST_FILE).write_text('{"start_url": "/"}')
    manifest = prepare_model(checkpoint(folder), tmp_path / "out", tmp_path, tmp_path)
    assert MANIFEST_FILE not in manifest.files
    check_files(tmp_path / "out", manifest.files)


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
    first = [["config.json"], *([name] for name in BESIDE)]
    asked = hub(whole)
    one = prepare_model(of_hub(), tmp_path / "one", tmp_path, tmp_path)
    assert asked == [*first, [WEIGHTS_FILE]]
    assert sorted(one.files) == sorted([*common, WEIGHTS_FILE])
    asked = hub(folder)
    many = prepare_model(of_hub(), tmp_path / "many", tmp_path, tmp_path)
    assert asked == [*first, [WEIGHTS_FILE], [INDEX_FILE], names]
    assert sorted(many.files) == sorted([*common, INDEX_FILE, *names])
    (folder / names[0]).unlink()
    with pytest.raises(SourceError, match=f"file {names[0]} not found in hub:someone/model"):
        prepare_model(of_hub(), tmp_path / "other", tmp_path, tmp_path)


EXTRA = {
    "preprocessor_config.json": b'{"do_resize": true}',
    "processor_config.json": b'{"processor_class": "None"}',
    "chat_template.jinja": b"{% for message in messages %}{{ message.content }}{% endfor %}",
    "generation_config.json": b'{"do_sample": false}',
}
"""Files that come with some checkpoints."""


def test_processors_and_templates_come_along_and_are_hashed(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a repository, of which no code is taken, and from a folder."""
    files = {path.name: path.read_bytes() for path in whole.iterdir()} | EXTRA
    with serving() as server:
        connect(server, tmp_path / "cache", monkeypatch)
        repository = Repository(files | {"processing.py": b"import os"})
        server.repositories["model", "someone/model"] = repository
        source = Source(uri="hub:someone/model", revision=repository.commit)
        model = of_hub().model_copy(update={"source": source})
        fetched = prepare_model(model, tmp_path / "hub", tmp_path, tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    copied = prepare_model(checkpoint(folder), tmp_path / "copy", tmp_path, tmp_path)
    expected = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert fetched.files == copied.files == expected


def test_the_tokenizer_finds_the_template(whole: Path, tmp_path: Path) -> None:
    for path in whole.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "chat_template.jinja").write_bytes(EXTRA["chat_template.jinja"])
    prepare_model(checkpoint(tmp_path), tmp_path / "out", tmp_path, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out", local_files_only=True)
    chat = [{"role": "user", "content": "plain"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False) == "plain"


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
