"""Checkpoints that are not those of their model: what does not fit is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from finegrid.models.pretrained import fit
from finegrid.records.weights import WEIGHTS_FILE, WeightsError
from tests.models.saved import LOADER, rewritten, saved


def without(*parts: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda state: {k: t for k, t in state.items() if not any(part in k for part in parts)}


def one_more_block(state: dict[str, Any]) -> dict[str, Any]:
    more = {k.replace("layer.1.", "layer.2."): t for k, t in state.items() if "layer.1." in k}
    return state | more


def spoilt(value: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def edit(state: dict[str, Any]) -> dict[str, Any]:
        state["encoder.layer.0.output.dense.bias"][3] = value
        return state

    return edit


BODY = "the weights are not those of the model that config.json describes: "
MISFITS = {
    "a block is missing": (without("layer.1."), BODY + r"missing: bert\.encoder\.layer\.1\..* and"),
    "one weight is missing": (
        without("layer.0.output.dense.bias"),
        BODY + r"missing: bert\.encoder\.layer\.0\.output\.dense\.bias; allowed",
    ),
    "embeddings are missing": (without("word_embeddings"), "missing: bert.embeddings.word_emb"),
    "half a pooler is missing": (
        without("pooler.dense.bias"),
        "missing: bert.pooler.dense.bias",
    ),
    "one block more": (one_more_block, r"not of the model: .*encoder\.layer\.2\..* and 11 more"),
    "other names": (
        lambda state: {k.replace("encoder.", "blocks."): t for k, t in state.items()},
        "missing: bert.encoder.* not of the model: blocks.",
    ),
    "a part that the model lacks": (
        lambda state: state | {"extra_norm.weight": torch.ones(64)},
        BODY + "not of the model: extra_norm.weight; allowed",
    ),
    "an adapter's parts": (
        lambda state: state | {"encoder.layer.0.lora_A.weight": torch.ones(2, 64)},
        "not of the model: .*lora_A",
    ),
    "an average beside the model": (
        lambda state: (
            {f"model.bert.{k}": t for k, t in state.items()}
            | {f"ema.bert.{k}": t for k, t in state.items()}
        ),
        "not of the model: ema.bert.encoder",
    ),
    "two wrapped models": (
        lambda state: (
            {f"model.{k}": t for k, t in state.items()}
            | {f"module.{k}": t for k, t in state.items()}
        ),
        "missing: bert.embeddings",
    ),
    "an unknown wrapper": (
        lambda state: {f"student.{k}": t for k, t in state.items()},
        "missing: bert.* not of the model: student.",
    ),
    "another shape": (
        lambda state: state | {"embeddings.word_embeddings.weight": torch.zeros(41, 64)},
        r"of another shape: bert\.embeddings\.word_embeddings\.weight is \(41, 64\), config\.json "
        r"asks for \(40, 64\)",
    ),
    "NaN": (spoilt(float("nan")), "no finite numbers: bert.encoder.layer.0.output.dense.bias$"),
    "an infinity": (spoilt(float("inf")), "no finite numbers: bert.encoder.layer.0.output.dense"),
    "one name twice": (
        lambda state: state | {"_orig_mod.pooler.dense.bias": torch.zeros(64)},
        "names of weights that are one without a wrapper's words: .*pooler",
    ),
}


@pytest.fixture(scope="module")
def plain_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    saved(folder, "bert", "BertModel")
    return folder


def copied(source: Path, folder: Path) -> Path:
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(("edit", "message"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_named(
    plain_bert: Path,
    tmp_path: Path,
    edit: Callable[[dict[str, Any]], dict[str, Any]],
    message: str,
) -> None:
    rewritten(copied(plain_bert, tmp_path), edit)
    with pytest.raises(WeightsError, match=message):
        fit(tmp_path, LOADER, keeps_head=False)


def test_a_file_that_is_cut_short_is_named(plain_bert: Path, tmp_path: Path) -> None:
    path = copied(plain_bert, tmp_path) / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"model\.safetensors has \d+ bytes, its header says"):
        fit(tmp_path, LOADER, keeps_head=False)


def test_a_stored_head_that_is_no_number_is_not_read(tmp_path: Path) -> None:
    saved(tmp_path, "bert", "BertForSequenceClassification")
    nan = {"classifier.weight": torch.full((3, 64), float("nan"))}
    rewritten(tmp_path, lambda state: state | nan)
    assert fit(tmp_path, LOADER, keeps_head=False)[:2] == ((), ())
    with pytest.raises(WeightsError, match=r"no finite numbers: classifier\.weight"):
        fit(tmp_path, LOADER, keeps_head=True)


def test_an_architecture_without_a_classifier_of_texts_is_named(tmp_path: Path) -> None:
    saved(tmp_path, "vit", "ViTModel")
    with pytest.raises(WeightsError, match="no AutoModelForSequenceClassification for vit"):
        fit(tmp_path, LOADER, keeps_head=False)
