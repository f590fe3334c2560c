"""How a text's features are pooled: against the library's own classifiers and written formulas."""

from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModel

from finegrid.models.head import head_modules, head_parameters
from finegrid.models.loading import base_sha256
from finegrid.models.pooling import classifier_class, pool
from finegrid.prepare.model import prepare_model
from finegrid.records.prediction import Question
from finegrid.records.specification import RandomModel, model_key
from finegrid.training.measure.prediction import predict
from methods.parameters import count_trainable
from methods.registry import METHODS
from tests.methods.architectures import CLASSES, anatomy, inputs, tiny
from tests.models.texts import TEXTUAL, configuration, prepare, template, write_tokenizer
from tests.training.assets import OWN_METHODS, Assets

CLOSE: dict[str, Any] = {"atol": 1e-5, "rtol": 1e-4}
PAIRS = [(name, pooling) for name in TEXTUAL for pooling in anatomy(name).poolings]
BOTH_KINDS = [pair for pair in PAIRS if pair[0] in ("bert", "gpt2", "t5")]
FITTING = [
    (method, *pair)
    for pair in BOTH_KINDS
    for method in OWN_METHODS
    if METHODS.build(method, {}).not_applicable(anatomy(pair[0])) is None
]


def classifier(model_type: str, pooling: Any) -> Any:
    """The tiny model of the architecture, in evaluation mode."""
    return deepcopy(_classifier(model_type, pooling))


@cache
def _classifier(model_type: str, pooling: Any) -> Any:
    config: Any = tiny(model_type).config
    kind = classifier_class(config, "AutoModelForSequenceClassification", pooling)
    torch.manual_seed(0)
    return kind._from_config(config, attn_implementation=config._attn_implementation).eval()


def states(model: Any, model_type: str) -> torch.Tensor:
    """The last hidden states of its body on its batch, (batch, sequence, hidden)."""
    batch = inputs(model_type)
    if model_type == "t5":  # the library's classifier makes the decoder's input
        batch["decoder_input_ids"] = model._shift_right(batch["input_ids"])
    found: torch.Tensor = model.base_model(**batch).last_hidden_state
    return found


def test_features_are_those_of_the_formulas() -> None:
    given = torch.tensor([[[1.0], [2.0], [6.0]], [[4.0], [9.0], [8.0]], [[7.0], [5.0], [3.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 1]])
    assert pool(given, mask, "mean").flatten().tolist() == [1.5, 4.0, 4.0]
    assert pool(given, mask, "first").flatten().tolist() == [1.0, 4.0, 5.0]
    assert pool(given, mask, "last").flatten().tolist() == [2.0, 4.0, 3.0]


def test_a_mean_is_taken_in_single_precision() -> None:
    given = torch.full((1, 600, 1), 1.0, dtype=torch.bfloat16)
    assert pool(given, torch.ones(1, 600), "mean").item() == 1.0


@pytest.mark.parametrize("model_type", TEXTUAL)
def test_without_a_pooling_it_is_the_library_s_classifier(model_type: str) -> None:
    """Of texts that hold no special token inside: there the library finds the last one too."""
    library = tiny(model_type)
    ours = classifier(model_type, None)
    ours.load_state_dict(library.state_dict())
    torch.testing.assert_close(
        ours(**inputs(model_type)).logits, library(**inputs(model_type)).logits, **CLOSE
    )
    heads = [[p.shape for p in head_parameters(model)] for model in (ours, library)]
    assert heads[0] == heads[1]


@pytest.mark.parametrize(("model_type", "pooling"), PAIRS)
def test_the_head_is_one_linear_layer_on_the_pooled_features(model_type: str, pooling: str) -> None:
    model = classifier(model_type, pooling)
    (head,) = head_modules(model)
    assert isinstance(head, nn.Linear)
    assert (head.out_features, head.bias is None) == (CLASSES, anatomy(model_type).causal)
    mask = inputs(model_type)["attention_mask"].bool()
    rows = [row[seen] for row, seen in zip(states(model, model_type), mask, strict=True)]
    by_hand: dict[str, Any] = {
        "mean": lambda row: row.mean(dim=0),
        "first": lambda row: row[0],
        "last": lambda row: row[-1],
        "pooler": lambda row: model.base_model.pooler.dense(row[0]).tanh(),
    }
    expected = head(torch.stack([by_hand[pooling](row) for row in rows]))
    torch.testing.assert_close(model(**inputs(model_type)).logits, expected, **CLOSE)


def test_the_pooler_of_bert_is_what_its_own_head_reads() -> None:
    own, ours = tiny("bert"), classifier("bert", "pooler")
    ours.load_state_dict(own.state_dict())
    batch = inputs("bert")
    torch.testing.assert_close(ours(**batch).logits, own(**batch).logits)


def test_a_pooling_that_passes_the_pooler_by_has_none() -> None:
    assert classifier("bert", "mean").bert.pooler is None
    assert classifier("roberta", "pooler").roberta.pooler is not None


@pytest.mark.parametrize(("method", "model_type", "pooling"), FITTING)
def test_methods_count_and_compute_as_on_the_library_s_classifier(
    method: str, model_type: str, pooling: str
) -> None:
    chosen = METHODS.build(method, {})
    library: Any = tiny(model_type)
    if model_type == "bert" and pooling != "pooler":
        library.bert.pooler = None
    model = classifier(model_type, pooling)
    names = frozenset(name for name, _ in model.named_parameters())
    head = sum(p.numel() for p in head_parameters(model))
    expected, before = chosen.expected_parameters(model), model(**inputs(model_type)).logits
    chosen.apply(model, torch.Generator().manual_seed(1))
    counts = count_trainable(model, names)
    assert (sum(counts.values()), counts["head"]) == (expected, head)
    assert expected - head == chosen.body_parameters(library)
    after = model.eval()(**inputs(model_type)).logits
    assert torch.allclose(after, before, atol=1e-5) == chosen.identity_at_start
    _check_batches(model, model_type, after)


def _check_batches(model: nn.Module, model_type: str, together: torch.Tensor) -> None:
    """Each text alone has the logits that it has among others."""
    batch = inputs(model_type)
    for row, length in enumerate(batch["attention_mask"].sum(dim=1).tolist()):
        alone = {key: values[row : row + 1, :length] for key, values in batch.items()}
        torch.testing.assert_close(model(**alone).logits[0], together[row], **CLOSE)


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "t5", "distilbert"])
def test_a_run_s_model_has_the_checkpoint_s_body(tmp_path: Path, model_type: str) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer", template(model_type))
    prepared = prepare(tmp_path, configuration(model_type), tokenizer, pooling="mean")
    model: Any = prepared.model()
    plain = AutoModel.from_pretrained(prepared.folder).state_dict()
    for name, tensor in model.base_model.state_dict().items():
        torch.testing.assert_close(tensor, plain[name], rtol=0, atol=0)
    again = prepared.model()
    assert base_sha256(again) == base_sha256(model)
    (head,) = head_modules(model)
    assert 0.01 < float(head.weight.detach().std()) < 0.03  # type: ignore[operator]
    torch.testing.assert_close(prepared.logits(model, 64), prepared.logits(model, 1), **CLOSE)


def test_a_run_with_a_pooling(assets: Assets, tmp_path: Path) -> None:
    """From its specification to its record; a trace predicts its memory."""
    base = assets.models["bert"]
    assert isinstance(base, RandomModel)
    pooled = base.model_copy(update={"name": "bert-mean", "pooling": "mean"})
    folder = assets.prepared / "models" / model_key(pooled)
    prepare_model(pooled, folder, assets.prepared / "tasks", tmp_path)
    own = replace(assets, models={"bert": pooled})
    for method, trained in (("head", 0), ("full", 1)):
        spec = own.specification(method, model="bert")
        result = own.run(spec, tmp_path / method)
        assert result.parameters is not None
        assert result.memory is not None
        assert result.parameters.head == 64 * 2 + 2
        assert (result.parameters.trainable > result.parameters.head) == bool(trained)
        found = predict(Question(spec=spec, batch=result.memory.batch))
        assert found.peak_bytes == pytest.approx(result.memory.peak_training_bytes, rel=0.04)


def test_a_model_entry_without_a_pooling_keeps_its_identity(assets: Assets) -> None:
    base = assets.models["bert"]
    assert isinstance(base, RandomModel)
    assert "pooling" not in base.model_dump(mode="json")
    pooled = base.model_copy(update={"pooling": "last"})
    assert model_key(pooled) != model_key(base)
