"""A task is encoded once: what lies on disk is what tokenising gives, and its key decides it."""

import json
import os
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from finegrid.prepare import encode
from finegrid.records.damage import CorruptedFileError
from finegrid.records.encoded import Encoded
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import MANIFEST_FILE, SPLITS, PreparedTask
from finegrid.records.specification import Checkpoint, Model, Network, Source, model_key
from finegrid.training.data import load_examples
from finegrid.training.encoding import encoded_folder, encoding_of
from kinds.registry import kind_named
from tests.training.assets import Assets

TEXT = kind_named("text-classification")
TOKENIZER = {"tokenizer.json": "1" * 64, "tokenizer_config.json": "2" * 64}
FILES = TOKENIZER | {"config.json": "3" * 64, "model.safetensors": "4" * 64}
CONFIGURATION: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 30522,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    "hidden_size": 16,
    "transformers_version": "4.6.0",
}


def model(files: dict[str, str] = FILES, uri: str = "path:tiny", **configuration: Any) -> Model:
    """A checkpoint whose source lists its files."""
    revision = "a" * 40 if uri.startswith("hub:") else None
    return Checkpoint(
        kind="checkpoint",
        name="tiny",
        source=Source(uri=uri, revision=revision, sha256=files),
        configuration=CONFIGURATION | configuration,
    )


@pytest.fixture(scope="module")
def written(assets: Assets) -> Encoded:
    folder = assets.encode(assets.specification(model="bert"))
    return Encoded.read(folder / MANIFEST_FILE)


def test_tokens_are_those_of_the_tokenizer(assets: Assets, written: Encoded) -> None:
    spec = assets.specification(model="bert")
    folder = assets.prepared / "models" / model_key(spec.model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for name, examples in assets.splits("bert").items():
        rows = pq.read_table(assets.prepared / "tasks" / spec.task.key / f"{name}.parquet")
        expected = tokenizer(rows["text"].to_pylist(), truncation=True, max_length=32)
        found = [examples.inputs[index] for index in range(len(examples))]
        for key in ("input_ids", "token_type_ids"):
            assert [one[key].tolist() for one in found] == expected[key]
        assert examples.ids == rows["id"].to_pylist()
        assert examples.truths == rows.select(["label"]).to_pylist()
        sizes = [len(ids) for ids in expected["input_ids"]]
        assert (list(examples.sizes), set(examples.weights)) == (sizes, {1})
        split = written.splits[name]
        assert (split.n, split.units, split.longest) == (len(sizes), sum(sizes), max(sizes))
        whole = tokenizer(rows["text"].to_pylist())["input_ids"]
        assert split.cut == sum(len(ids) > 32 for ids in whole)


def test_the_manifest_says_what_the_encoding_was_made_of(assets: Assets, written: Encoded) -> None:
    spec = assets.specification(model="bert")
    folder = assets.prepared / "models" / model_key(spec.model)
    assert (written.kind, written.max_length) == ("text-classification", 32)
    assert written.data_sha256 == assets.manifest("bert").sha256
    assert written.fillers == {"input_ids": 0}
    assert written.packages == {name: version(name) for name in ("tokenizers", "transformers")}
    assert written.processor is not None
    assert written.processor["files"] == {name: file_sha256(folder / name) for name in TOKENIZER}


def test_the_features_of_a_network_are_the_rows_as_they_are(assets: Assets) -> None:
    spec = assets.specification()
    for name, examples in assets.splits().items():
        rows = pq.read_table(assets.prepared / "tasks" / spec.task.key / f"{name}.parquet")
        found = [examples.inputs[at]["features"].tolist() for at in range(len(examples))]
        assert found == examples.batch(range(len(examples))).inputs["features"].tolist()
        assert found == [pytest.approx(pixels, rel=1e-7) for pixels in rows["pixels"].to_pylist()]


@pytest.mark.parametrize("name", ["bert", "network"])
def test_how_many_rows_are_encoded_at_a_time_changes_no_example(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(encode, "_CHUNK_ROWS", 7)
    spec, task = assets.specification(model=name), assets.manifest(name)
    known = assets.encode(spec)
    encoding = encoding_of(kind_named(task.kind), spec.task, spec.model, 32)
    folder = tmp_path / known.name
    encode.encode_task(encoding, folder, assets.prepared, model_key(spec.model))
    models = assets.prepared / "models" / model_key(spec.model)
    once, cut = load_examples(known, task, models), load_examples(folder, task, models)
    for split in SPLITS:
        assert cut[split].table["inputs"].num_chunks > 2 > once[split].table["inputs"].num_chunks
        assert cut[split].table.equals(once[split].table)
        assert list(cut[split].sizes) == list(once[split].sizes)
        order = [len(cut[split]) - 1, 0, 7, 6]
        for found, expected in zip(
            (cut[split].inputs[at] for at in order),
            (once[split].inputs[at] for at in order),
            strict=True,
        ):
            assert {key: np.asarray(value).tolist() for key, value in found.items()} == {
                key: np.asarray(value).tolist() for key, value in expected.items()
            }


@pytest.mark.parametrize(
    ("length", "bytes_a_row", "rows"), [(1, 100, 1024), (512, 100, 512), (1, 1 << 30, 1)]
)
def test_long_texts_and_large_rows_are_encoded_fewer_at_a_time(
    length: int, bytes_a_row: int, rows: int
) -> None:
    class Metadata:
        num_row_groups, num_rows, total_byte_size = 1, 10, 10 * bytes_a_row

        def row_group(self, at: int) -> "Metadata":
            return self

    assert encode._chunk_rows(Metadata(), encode._Encoder(TEXT, length)) == rows


OTHERS: dict[str, Model] = {
    "another tokenizer": model(FILES | {"tokenizer.json": "5" * 64}),
    "other settings of it": model(FILES | {"tokenizer_config.json": "5" * 64}),
    "a file more": model(FILES | {"added_tokens.json": "5" * 64}),
    "no types of tokens": model(type_vocab_size=0),
    "another id of padding": model(pad_token_id=1),
    "an id of padding that is looked for": model(pad_token_id=None),
    "looked for among fewer": model(pad_token_id=None, vocab_size=100),
    "another architecture": model(model_type="roberta"),
    "another class of tokenizer": model(tokenizer_class="RobertaTokenizer"),
    "the mark of a newer library": model(transformers_version="5.1.0"),
    "a configuration that is planned in part": model(uri="hub:a/b"),
    "another of these": model(FILES | {"config.json": "5" * 64}, uri="hub:a/b"),
    "files that are not listed": model({}),
    "these, and other sizes": model({}, hidden_size=32),
    "a configuration that is not listed": model(TOKENIZER, uri="hub:a/b"),
    "that, and other sizes": model(TOKENIZER, uri="hub:a/b", hidden_size=32),
}


def test_models_that_may_encode_differently_never_share_an_encoding(assets: Assets) -> None:
    task = assets.tasks["bert"]
    models = {"the first": model()} | OTHERS
    keys = {name: encoding_of(TEXT, task, one, 32).key for name, one in models.items()}
    assert len(set(keys.values())) == len(models), keys
    assert encoding_of(TEXT, task, model(), 31).key not in keys.values()
    assert encoding_of(TEXT, assets.tasks["network"], model(), 32).key not in keys.values()


@pytest.mark.parametrize(
    "other",
    [
        model(hidden_size=32, num_hidden_layers=3, vocab_size=30528),
        model(FILES | {"config.json": "5" * 64, "model.safetensors": "6" * 64}),
        model(transformers_version="4.57.1", architectures=["BertModel"]),
        model().model_copy(update={"name": "other", "pooling": "mean", "head": "keep"}),
    ],
)
def test_models_with_one_tokenizer_share_an_encoding(assets: Assets, other: Model) -> None:
    task = assets.tasks["bert"]
    assert encoding_of(TEXT, task, other, 32) == encoding_of(TEXT, task, model(), 32)


def test_rows_of_numbers_have_one_encoding_whatever_the_model_and_the_length(
    assets: Assets,
) -> None:
    kind, task = kind_named("flat-image-classification"), assets.tasks["network"]
    models = [Network(kind="network", name=f"n{width}", layers=(12, width, 3)) for width in (4, 8)]
    assert len({encoding_of(kind, task, one, n).key for one in models for n in (8, 128)}) == 1


def copied(assets: Assets, folder: Path) -> Assets:
    shutil.copytree(assets.prepared, folder / "prepared")
    return replace(assets, prepared=folder / "prepared")


def test_an_encoding_of_other_data_is_refused(assets: Assets, tmp_path: Path) -> None:
    place, spec = copied(assets, tmp_path), assets.specification()
    folder = place.prepared / "tasks" / spec.task.key
    task = PreparedTask.read(folder / MANIFEST_FILE)
    task.model_copy(update={"sha256": "0" * 64}).write(folder / MANIFEST_FILE)
    encoded = place.encode(spec) / MANIFEST_FILE
    with pytest.raises(CorruptedFileError, match=f"data_sha256 {task.sha256}, here 00") as caught:
        place.splits()
    assert str(caught.value).startswith(f"{encoded}: ")
    assert caught.value.folder == encoded.parent


def test_an_encoding_by_another_processor_is_refused(assets: Assets, tmp_path: Path) -> None:
    """As where a configuration was not what its specification said."""
    place, spec = copied(assets, tmp_path), assets.specification(model="bert")
    file = place.prepared / "models" / model_key(spec.model) / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pad_token_id": 1}))
    with pytest.raises(CorruptedFileError, match=r"manifest\.json: processor .*'pad_token_id': 0"):
        place.splits("bert")


def test_an_encoding_in_another_s_folder_is_refused(assets: Assets, tmp_path: Path) -> None:
    place = copied(assets, tmp_path)
    one, other = (place.encode(place.specification(model=name)) for name in ("bert", "network"))
    shutil.rmtree(one)
    shutil.copytree(other, one)
    with pytest.raises(CorruptedFileError, match=f"key {other.name}, here {one.name}"):
        place.splits("bert")


def test_a_length_that_leaves_nothing_of_a_text_is_refused(
    assets: Assets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = assets.specification(model="bert")
    encoding = encoding_of(TEXT, spec.task, spec.model, 2)
    encoding.write(tmp_path / "given.json")
    out = encoded_folder(tmp_path, encoding)
    where = ["--output", str(out), "--prepared", str(assets.prepared)]
    (tmp_path / "model.txt").write_text(model_key(spec.model))
    what = ["--spec", str(tmp_path / "given.json"), "--processor", str(tmp_path / "model.txt")]
    assert encode.main([*what, *where]) == os.EX_DATAERR
    message = "encode: max_length: 2, and the tokenizer adds 2 special tokens; allowed: from 3"
    assert capsys.readouterr().err.startswith(message)
    assert not list(out.iterdir())


def test_a_task_that_is_not_prepared_is_a_missing_file(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification()
    kind = kind_named("flat-image-classification")
    encoding_of(kind, spec.task, spec.model, 8).write(tmp_path / "given.json")
    where = ["--output", str(tmp_path / "out"), "--prepared", str(tmp_path)]
    assert encode.main(["--spec", str(tmp_path / "given.json"), *where]) == os.EX_IOERR
