"""Tables of tokens that are trained whole: counted where tied, alone and beside LoRA, and taken
home, held to what peft trains as `modules_to_save`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from finegrid.export.folders import adapted
from finegrid.models.live import anatomy_of
from methods.contract import Method
from methods.parameters import count_trainable
from methods.peft_form import NoPeftFormError
from methods.registry import METHODS
from tests.kinds.writing import SIZES, writer

VECTORS = SIZES["vocab_size"] * 64
BOTH: Any = {"tables": ["input", "output"]}
TIED = {"gpt2": True, "llama": False, "mistral": True, "t5": True, "bart": True}
TEXT = {"input_ids": torch.tensor([[5, 6, 7, 8]])}
SIDE = {"gpt2": "c_attn", "llama": "q_proj", "mistral": "q_proj", "t5": "q", "bart": "q_proj"}


def beside(**settings: Any) -> Method:
    parts: Any = {
        "ranks": {"method": "lora", "settings": {"rank": 2, "targets": ["q"]}},
        "vectors": {"method": "token-embeddings", "settings": settings},
    }
    return METHODS.build("combine", {"parts": parts})


def moved(method: Method, model_type: str) -> nn.Module:
    """The model after steps of training that none of the trained tensors can miss."""
    model = writer(model_type)
    method.apply(model, torch.Generator().manual_seed(1))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.02)
    for _ in range(3):
        optimizer.zero_grad()
        (-said(model).log_softmax(-1)[..., 5].mean()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model.eval()


def said(model: Any) -> torch.Tensor:
    decoder = {"decoder_input_ids": TEXT["input_ids"]} if model.config.is_encoder_decoder else {}
    logits: torch.Tensor = model(**TEXT, **decoder).logits
    return logits


@pytest.mark.parametrize(("model_type", "is_tied"), TIED.items())
def test_a_tied_table_is_counted_once(model_type: str, is_tied: bool) -> None:
    for tables, count in (("input", 1), ("output", 1), ("both", 1 if is_tied else 2)):
        settings: Any = BOTH if tables == "both" else {"tables": [tables]}
        method, model = METHODS.build("token-embeddings", settings), writer(model_type)
        assert method.body_parameters(model) == count * VECTORS
        names = frozenset(name for name, _ in model.named_parameters())
        method.apply(model, torch.Generator())
        assert count_trainable(model, names) == {"embedding": count * VECTORS}


@pytest.mark.parametrize("model_type", TIED)
def test_the_same_is_trained_as_by_peft(model_type: str) -> None:
    """A matrix of rank 2 beside the tables that peft saves, which it can be told to tie."""
    theirs: Any = writer(model_type)
    output = anatomy_of(theirs).output
    saved = [anatomy_of(theirs).embeddings, output]
    config = LoraConfig(
        r=2,
        target_modules=[SIDE[model_type]],
        modules_to_save=saved,
        ensure_weight_tying=TIED[model_type],
    )
    if model_type == "gpt2":  # peft adapts q, k and v together
        config.target_modules = {"c_proj"}
    wrapped = get_peft_model(theirs, config)
    expected = sum(
        parameter.numel()
        for name, parameter in wrapped.named_parameters()
        if parameter.requires_grad and "lora_" not in name
    )
    vectors = METHODS.build("token-embeddings", BOTH)
    assert vectors.body_parameters(writer(model_type)) == expected


@pytest.mark.parametrize("model_type", TIED)
def test_an_adapter_holds_the_tables_that_were_trained(model_type: str, tmp_path: Path) -> None:
    method = beside(**(BOTH if model_type == "llama" else {}))
    model = moved(method, model_type)
    adapter = adapted(writer(model_type), model, method, None)
    adapter.save_pretrained(str(tmp_path), save_embedding_layers=False)
    loaded = PeftModel.from_pretrained(writer(model_type), str(tmp_path)).eval()
    torch.testing.assert_close(said(loaded), said(model), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(said(model), said(writer(model_type)), atol=0.1)


@pytest.mark.parametrize("model_type", ["llama", "mistral"])
def test_a_table_trained_beside_ranks_is_merged_with_them(model_type: str) -> None:
    method = beside()
    model = moved(method, model_type)
    expected = said(model)
    method.merge(model)
    torch.testing.assert_close(said(model), expected, atol=1e-5, rtol=1e-5)
    plain = writer(model_type)
    assert model.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(said(plain), expected, atol=1e-5, rtol=1e-5)


def test_a_tied_table_stays_tied_and_is_fp32_in_a_half_model() -> None:
    model: Any = writer("mistral").to(torch.bfloat16)
    METHODS.build("token-embeddings", {}).apply(model, torch.Generator())
    table, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert table is output
    assert table.dtype == torch.float32
    assert table.requires_grad


def test_what_trains_something_else_of_the_base_goes_beside_it() -> None:
    """Chen et al. 2024, section 3.3: LoRA, the embeddings and the norms."""
    parts: Any = {
        "norms": {"method": "layernorm"},
        "ranks": {"method": "lora"},
        "vectors": {"method": "token-embeddings"},
    }
    method, model = METHODS.build("combine", {"parts": parts}), writer("llama")
    assert not list(method.problems(anatomy_of(model)))
    method.apply(model, torch.Generator())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == method.body_parameters(writer("llama"))
    twice: Any = {
        "a": {"method": "token-embeddings"},
        "b": {"method": "token-embeddings", "settings": BOTH},
    }
    (problem,) = METHODS.build("combine", {"parts": twice}).problems(anatomy_of(model))
    assert problem == "parts: a and b train the same tensors; allowed: one of the two"


def test_what_peft_has_not_beside_a_type_is_said() -> None:
    cases: Any = (
        ({"a": {"method": "ia3"}, "b": {"method": "token-embeddings"}}, "IA3 does not tie"),
        ({"a": {"method": "lora"}, "b": {"method": "bitfit"}}, "or none of it, the run a part"),
        ({"a": {"method": "lora"}, "b": {"method": "prompt"}}, "is of one type"),
    )
    for parts, reason in cases:
        method, model = METHODS.build("combine", {"parts": parts}), writer("gpt2")
        method.apply(model, torch.Generator())
        with pytest.raises(NoPeftFormError, match=reason):
            method.peft_form(model)
