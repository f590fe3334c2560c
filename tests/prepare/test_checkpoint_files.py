"""What planning finds in a checkpoint's files. Nothing is loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finegrid.models.anatomies import Anatomies
from finegrid.models.blueprint import Purpose
from finegrid.prepare.checkpoint_files import drawn_modules
from finegrid.prepare.model import prepare_model
from finegrid.prepare.sources import SourceError
from finegrid.records.prepared import MANIFEST_FILE, PreparedModel
from finegrid.records.specification import Checkpoint, Source, model_key
from finegrid.records.weights import INDEX_FILE, WEIGHTS_FILE
from tests.prepare.checkpoints import (
    CONFIGURATION,
    REVISION,
    Content,
    Problems,
    bert,
    checkpoint,
    write,
    write_shards,
)
from workflow.forecast import prepared

TEXTS = Purpose("AutoModelForSequenceClassification", "text")


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
    from finegrid.planning.benchmark import parse_benchmark
    from finegrid.planning.plan import make_plan

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
    assert drawn_modules(lacking, Anatomies().of(lacking, TEXTS)) == ("bert.pooler",)
    assert drawn_modules(checkpoint(whole), Anatomies().of(lacking, TEXTS)) == ()
    assert prepared.drawn_modules(lacking, TEXTS, tmp_path) == ("bert.pooler",)
    hub = Checkpoint(
        kind="checkpoint",
        name="hub",
        source=Source(uri="hub:a/b", revision=REVISION),
        configuration=CONFIGURATION,
    )
    assert prepared.drawn_modules(hub, TEXTS, tmp_path) == ()
    manifest = PreparedModel(key="k", spec=hub, files={}, drawn_modules=("bert.pooler",))
    key = model_key(hub)
    manifest.write(tmp_path / "prepared" / "models" / key / MANIFEST_FILE)
    assert prepared.drawn_modules(hub, TEXTS, tmp_path) == ("bert.pooler",)
