"""Checkpoints as a run loads them: the body is the file's, the head is the run's or is kept."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from finegrid.models.head import head_parameters
from finegrid.models.loading import base_sha256, load_model
from finegrid.prepare.model import prepare_model
from finegrid.records.prediction import Question
from finegrid.records.prepared import PreparedModel, PreparedTask
from finegrid.records.result import DELTA_FILE
from finegrid.records.specification import Checkpoint, RandomModel, Source, Specification, model_key
from finegrid.records.weights import WEIGHTS_FILE, WeightsError
from finegrid.training.measure.prediction import predict
from methods.registry import METHODS
from tests.training.assets import OWN_METHODS, Assets, asked, run_folder

WIDTH, LABELS = 64, 2
POOLER = WIDTH * WIDTH + WIDTH
CLASSIFIER = WIDTH * LABELS + LABELS


@dataclass(frozen=True)
class Prepared:
    """A prepared checkpoint beside the prepared tasks."""

    assets: Assets
    folder: Path
    manifest: PreparedModel

    def load(self, seed: int = 0, task: PreparedTask | None = None) -> nn.Module:
        task = task or self.assets.manifest("bert")
        return load_model(self.folder, self.manifest, task, *asked(task), seed, None)

    def specification(self, method: str = "full", **options: Any) -> Specification:
        spec = self.assets.specification(method, model="bert", **options)
        return spec.model_copy(update={"model": self.manifest.spec})


def prepared(assets: Assets, source: Path, head: Any = "new") -> Prepared:
    configuration = json.loads((source / "config.json").read_text())
    model = Checkpoint(
        kind="checkpoint",
        name="stored",
        source=Source(uri=f"path:{source}"),
        configuration=configuration,
        head=head,
    )
    folder = assets.prepared / "models" / model_key(model)
    return Prepared(assets, folder, prepare_model(model, folder, source, source))


def stored(assets: Assets, folder: Path, kind: str, **changes: Any) -> Path:
    """A checkpoint of a class of BERT, with the tokenizer of the assets."""
    made = assets.models["bert"]
    assert isinstance(made, RandomModel)
    shutil.copytree(made.tokenizer.uri.removeprefix("path:"), folder)
    options = {key: value for key, value in made.configuration.items() if key != "model_type"}
    torch.manual_seed(5)
    config = transformers.BertConfig(**(options | changes))
    getattr(transformers, kind)(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def without_pooler(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """As a language model's checkpoint is."""
    return prepared(assets, stored(assets, tmp_path_factory.mktemp("a") / "m", "BertForMaskedLM"))


@pytest.fixture(scope="module", params=[2, 3])
def classifier(
    request: pytest.FixtureRequest, assets: Assets, tmp_path_factory: pytest.TempPathFactory
) -> Prepared:
    """Fine-tuned on as many labels as the task has, and on another number."""
    folder = tmp_path_factory.mktemp("b") / "m"
    kind, labels = "BertForSequenceClassification", request.param
    changes = {"num_labels": labels, "problem_type": "single_label_classification"}
    return prepared(assets, stored(assets, folder, kind, **changes))


def weights(model: nn.Module, part: str) -> torch.Tensor:
    return dict(model.named_parameters())[part].detach()


def regression(assets: Assets) -> PreparedTask:
    return assets.manifest("bert").model_copy(update={"labels": (), "kind": "text-regression"})


# A head of its own


def test_a_stored_classifier_is_no_head_of_a_run(classifier: Prepared) -> None:
    first, same, second = (classifier.load(seed) for seed in (0, 0, 1))
    drawn = weights(first, "classifier.weight")
    assert drawn.shape == (LABELS, WIDTH)
    assert torch.equal(drawn, weights(same, "classifier.weight"))
    file = load_file(classifier.folder / WEIGHTS_FILE)
    vectors = [drawn, weights(second, "classifier.weight"), file["classifier.weight"][:LABELS]]
    for number, one in enumerate(vectors):
        for other in vectors[:number]:
            assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0).abs() < 0.5
    for name, tensor in file.items():
        if not name.startswith("classifier."):
            assert torch.equal(weights(first, name), tensor)


def test_a_stored_classifier_becomes_a_regression(assets: Assets, classifier: Prepared) -> None:
    model = classifier.load(task=regression(assets))
    assert weights(model, "classifier.weight").shape == (1, WIDTH)


def test_the_head_of_a_seed_does_not_depend_on_the_checkpoint(
    classifier: Prepared, without_pooler: Prepared
) -> None:
    one, other = classifier.load(3), without_pooler.load(3)
    name = "classifier.weight"
    assert torch.equal(weights(one, name), weights(other, name))


# A pooler that the checkpoint lacks


def test_a_pooler_that_is_lacking_is_the_head_s(without_pooler: Prepared) -> None:
    assert without_pooler.manifest.drawn_modules == ("bert.pooler",)
    one, other = without_pooler.load(0), without_pooler.load(1)
    name = "bert.pooler.dense.weight"
    assert not torch.equal(weights(one, name), weights(other, name))
    assert base_sha256(one) == base_sha256(other)
    assert sum(p.numel() for p in head_parameters(one)) == POOLER + CLASSIFIER


@pytest.mark.parametrize("name", OWN_METHODS)
def test_every_method_trains_it_and_counts_it_so(without_pooler: Prepared, name: str) -> None:
    model, method = without_pooler.load(), METHODS.build(name, {})
    expected, body = method.expected_parameters(model), method.body_parameters(model)
    method.apply(model, torch.Generator().manual_seed(0))
    assert all(parameter.requires_grad for parameter in head_parameters(model))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected
    assert expected == body + POOLER + CLASSIFIER


def test_the_record_says_so_and_the_trace_agrees(without_pooler: Prepared, tmp_path: Path) -> None:
    """peft and the authors' code freeze a pooler of random numbers; here the record tells."""
    spec = without_pooler.specification("head")
    result = without_pooler.assets.run(spec, tmp_path)
    assert result.provenance.drawn_modules == ("bert.pooler",)
    assert result.parameters is not None
    assert result.parameters.head == result.parameters.trainable == POOLER + CLASSIFIER
    delta = load_file(run_folder(spec, tmp_path) / DELTA_FILE)
    assert {name for name in delta if "pooler" in name} == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
    }
    memory = result.memory
    assert memory is not None
    question = Question(spec=spec, batch=memory.batch, drawn_modules=("bert.pooler",))
    traced, frozen = predict(question), predict(question.model_copy(update={"drawn_modules": ()}))
    assert traced.peak_bytes == memory.predicted_peak_bytes
    assert traced.peak_bytes is not None
    assert frozen.peak_bytes is not None
    assert traced.peak_bytes == pytest.approx(memory.peak_training_bytes, rel=0.04)
    # Two states of Adam, of 4 bytes, for each of its numbers.
    assert traced.peak_bytes - frozen.peak_bytes >= 2 * 4 * POOLER


def test_of_a_random_model_the_pooler_is_made_with_the_base(assets: Assets) -> None:
    model = assets.plain(assets.specification(model="bert"))
    assert sum(p.numel() for p in head_parameters(model)) == CLASSIFIER


# A head that is kept


def kept(assets: Assets, folder: Path, **changes: Any) -> Prepared:
    changes = {"num_labels": 2} | changes
    return prepared(
        assets, stored(assets, folder, "BertForSequenceClassification", **changes), "keep"
    )


def test_a_head_is_kept_where_the_benchmark_says_so(assets: Assets, tmp_path: Path) -> None:
    model = kept(assets, tmp_path / "m", id2label={0: "Negative", 1: "POSITIVE"})
    file = load_file(tmp_path / "m" / WEIGHTS_FILE)
    for seed in (0, 1):
        assert torch.equal(
            weights(model.load(seed), "classifier.weight"), file["classifier.weight"]
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_labels": 3}, r"head: keep: the checkpoint's head has 3 outputs; allowed .*: 2"),
        (
            {"id2label": {0: "positive", 1: "negative"}},
            "has the labels positive, negative in this order; allowed for the task: negative, pos",
        ),
    ],
)
def test_a_head_that_does_not_fit_the_task_is_not_kept(
    assets: Assets, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    model = kept(assets, tmp_path / "m", **changes)
    with pytest.raises(WeightsError, match=message):
        model.load()


@pytest.mark.parametrize(
    ("kind", "edit", "message"),
    [
        ("BertForMaskedLM", None, r"no head for the task: bert\.pooler.*, classifier\.bias, class"),
        ("BertModel", None, r"no head for the task: classifier\.bias, classifier\.weight is"),
        ("BertForSequenceClassification", (3, WIDTH), r"classifier\.weight is missing or of anoth"),
    ],
)
def test_a_head_to_be_kept_has_to_be_there_when_the_model_is_prepared(
    assets: Assets, tmp_path: Path, kind: str, edit: tuple[int, int] | None, message: str
) -> None:
    folder = stored(assets, tmp_path / "m", kind)
    if edit:
        state = load_file(folder / WEIGHTS_FILE) | {"classifier.weight": torch.zeros(edit)}
        save_file(state, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=message):
        prepared(assets, folder, "keep")


def test_whether_a_head_is_kept_is_part_of_a_model_s_identity(without_pooler: Prepared) -> None:
    spec = without_pooler.manifest.spec
    assert isinstance(spec, Checkpoint)
    assert "head" not in spec.model_dump(mode="json")
    assert model_key(spec.model_copy(update={"head": "keep"})) != model_key(spec)


# As prepared


def test_the_words_of_a_wrapper_are_in_the_manifest_and_the_record(
    assets: Assets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored(assets, tmp_path / "m", "BertModel")
    plain = prepared(assets, shutil.copytree(folder, tmp_path / "plain"))
    state = {f"module.{key}": tensor for key, tensor in load_file(folder / WEIGHTS_FILE).items()}
    save_file(state, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    wrapped = prepared(assets, folder)
    assert wrapped.manifest.stripped == ("module.",)
    assert "prepare_model: module. taken off the names of the weights" in capsys.readouterr().err
    assert base_sha256(wrapped.load()) == base_sha256(plain.load())
    assert load_file(folder / WEIGHTS_FILE).keys() == state.keys()
    result = assets.run(wrapped.specification("head"), tmp_path / "results")
    assert result.provenance.stripped == ("module.",)


def test_weights_that_no_longer_fit_are_refused_by_a_run(without_pooler: Prepared) -> None:
    """As by another version of the library than the one that prepared them."""
    manifest = without_pooler.manifest.model_copy(update={"drawn_modules": ()})
    with pytest.raises(WeightsError, match=r"missing: bert\.pooler\.dense\.bias"):
        replace(without_pooler, manifest=manifest).load()
