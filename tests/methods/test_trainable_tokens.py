"""Vectors of a few tokens, where the model ties its two tables and where it does not."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import nn

from finegrid.export.folders import adapted
from methods.contract import Method
from methods.peft_form import NoPeftFormError
from methods.registry import METHODS
from tests.kinds.writing import writer
from tests.methods.architectures import tiny

TOKENS = [5, 7]
SETTINGS: Any = {"config": {"token_indices": TOKENS}}
IDS = torch.tensor([[3, 5, 7, 4]])


def applied(model_type: str) -> tuple[Method, nn.Module]:
    """A model that writes, whose trained vectors are one above where they start."""
    method = METHODS.build("peft:trainable_tokens", SETTINGS)
    model = writer(model_type).eval()
    method.apply(model, torch.Generator())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(1)
    return method, model


def moved(model_type: str) -> Any:
    """The plain model with those rows of its table of tokens changed in place."""
    model: Any = copy.deepcopy(writer(model_type)).eval()
    with torch.no_grad():
        model.get_input_embeddings().weight[TOKENS] += 1
    return model


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_the_rows_are_those_of_the_table(model_type: str) -> None:
    """GPT-2 ties its tables, so that the rows change at its output as well; the Llama does not."""
    method, model = applied(model_type)
    expected: Any = moved(model_type)
    tied = expected.get_output_embeddings().weight is expected.get_input_embeddings().weight
    assert tied == (model_type == "gpt2")
    trained = [p for p in model.parameters() if p.requires_grad]
    size = expected.get_input_embeddings().weight.shape[1]
    assert sum(p.numel() for p in trained) == method.expected_parameters(expected) == 2 * size
    with torch.no_grad():
        logits = expected(IDS).logits
        torch.testing.assert_close(model(IDS).logits, logits, atol=1e-5, rtol=0)
        method.merge(model)
        torch.testing.assert_close(model(IDS).logits, logits, atol=1e-5, rtol=0)
    names = {name for name, _ in model.named_parameters()}
    assert names == {name for name, _ in expected.named_parameters()}


@pytest.mark.filterwarnings("ignore:Unexpected keyword arguments")
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_the_adapter_says_what_the_model_says(model_type: str, tmp_path: Path) -> None:
    method, model = applied(model_type)
    adapter = adapted(writer(model_type), model, method, "AutoModelForCausalLM")
    adapter.save_pretrained(tmp_path, save_embedding_layers=False)
    loaded = PeftModel.from_pretrained(writer(model_type), str(tmp_path)).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits, atol=1e-5, rtol=0)


def test_an_adapter_of_the_type_keeps_no_head() -> None:
    model = tiny("bert")
    method = METHODS.build("peft:trainable_tokens", SETTINGS)
    method.apply(model, torch.Generator())
    with pytest.raises(NoPeftFormError, match="keeps no head"):
        method.peft_form(model)


def test_a_token_that_the_table_lacks_is_refused_before_anything_is_wrapped() -> None:
    model: Any = tiny("bert")
    rows = model.get_input_embeddings().num_embeddings
    method = METHODS.build("peft:trainable_tokens", {"config": {"token_indices": [3, rows]}})
    with pytest.raises(ValueError, match=f"token_indices {rows}; allowed: 0 to {rows - 1}"):
        method.apply(model, torch.Generator())
    assert not hasattr(model, "peft_config")


def test_an_encoder_and_a_decoder_have_no_single_table() -> None:
    method = METHODS.build("peft:trainable_tokens", SETTINGS)
    with pytest.raises(ValueError, match="the model has no single table of tokens"):
        method.apply(tiny("t5"), torch.Generator())
