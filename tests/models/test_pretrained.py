"""Checkpoints against their models: every layout that repositories have, and their heads."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from finegrid.models.head import add_to_head, head_modules
from finegrid.models.pretrained import draw_head, fit, listen, read_weights
from finegrid.records.weights import INDEX_FILE, WEIGHTS_FILE
from tests.methods.architectures import TINY, anatomy, tiny
from tests.models.saved import LOADER, rewritten, saved

Names = Callable[[str], str]
LAYOUTS = [
    ("bart", "BartModel"),
    ("bart", "BartForConditionalGeneration"),
    ("bert", "BertModel"),
    ("bert", "BertForMaskedLM"),
    ("bert", "BertForPreTraining"),
    ("deberta-v2", "DebertaV2Model"),
    ("deberta-v2", "DebertaV2ForMaskedLM"),
    ("distilbert", "DistilBertForMaskedLM"),
    ("gpt2", "GPT2Model"),
    ("gpt2", "GPT2LMHeadModel"),
    ("llama", "LlamaModel"),
    ("llama", "LlamaForCausalLM"),
    ("qwen2", "Qwen2ForCausalLM"),
    ("qwen3", "Qwen3ForCausalLM"),
    ("roberta", "RobertaModel"),
    ("roberta", "RobertaForMaskedLM"),
    ("t5", "T5Model"),
    ("t5", "T5ForConditionalGeneration"),
]
"""Architecture and the class that a checkpoint was saved from."""
TEXT = sorted({model_type for model_type, _ in LAYOUTS})


def renamed(folder: Path, name: Names) -> None:
    rewritten(folder, lambda state: {name(key): tensor for key, tensor in state.items()})


def body(model: Any) -> dict[str, torch.Tensor]:
    base: nn.Module = model.base_model
    return dict(base.state_dict())


def loaded(folder: Path) -> nn.Module:
    config = transformers.AutoConfig.from_pretrained(folder)
    return read_weights(folder, config, LOADER)[0]


def assert_body(folder: Path, original: nn.Module) -> None:
    """What is loaded is what was saved."""
    own, wanted = body(loaded(folder)), body(original)
    assert own.keys() - {"pooler.dense.weight", "pooler.dense.bias"} <= wanted.keys()
    for name in own.keys() & wanted.keys():
        torch.testing.assert_close(own[name], wanted[name], rtol=0, atol=0)


# What fits


@pytest.mark.parametrize(("model_type", "kind"), LAYOUTS)
def test_a_checkpoint_in_the_layout_of_its_repository_fits(
    tmp_path: Path, model_type: str, kind: str
) -> None:
    original = saved(tmp_path, model_type, kind)
    before = (tmp_path / WEIGHTS_FILE).read_bytes()
    drawn = ("bert.pooler",) if kind == "BertForMaskedLM" else ()
    assert fit(tmp_path, LOADER, keeps_head=False)[:2] == ((), drawn)
    assert (tmp_path / WEIGHTS_FILE).read_bytes() == before
    assert_body(tmp_path, original)


@pytest.mark.parametrize(
    ("model_type", "kind", "constants", "name"),
    [
        (
            "bert",
            "BertForPreTraining",
            {"bert.embeddings.position_ids": torch.arange(32)[None]},
            lambda key: key.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ),
        ),
        (
            "gpt2",
            "GPT2Model",
            {
                "h.0.attn.bias": torch.ones(1, 1, 4, 4),
                "h.1.attn.masked_bias": torch.tensor(-1e4),
            },
            str,
        ),
        (
            "gpt2",
            "GPT2LMHeadModel",
            {"transformer.h.1.attn.masked_bias": torch.tensor(-1e4)},
            str,
        ),
        (
            "llama",
            "LlamaForCausalLM",
            {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)},
            str,
        ),
    ],
    ids=["gamma and beta", "masks", "masks below a prefix", "frequencies"],
)
def test_older_checkpoints_fit(
    tmp_path: Path, model_type: str, kind: str, constants: dict[str, torch.Tensor], name: Names
) -> None:
    original = saved(tmp_path, model_type, kind)
    rewritten(tmp_path, lambda state: {name(k): t for k, t in state.items()} | constants)
    assert fit(tmp_path, LOADER, keeps_head=False)[:2] == ((), ())
    assert_body(tmp_path, original)


def test_a_head_of_any_name_beside_the_body_fits(tmp_path: Path) -> None:
    saved(tmp_path, "bert", "BertForSequenceClassification")
    rewritten(tmp_path, lambda state: state | {"intent.layer.0.weight": torch.ones(3)})
    assert fit(tmp_path, LOADER, keeps_head=False)[:2] == ((), ())


def test_shards_fit(tmp_path: Path) -> None:
    original: Any = saved(tmp_path, "bert", "BertModel")
    (tmp_path / WEIGHTS_FILE).unlink()
    original.save_pretrained(tmp_path, max_shard_size="60KB")
    assert (tmp_path / INDEX_FILE).exists()
    assert fit(tmp_path, LOADER, keeps_head=False)[:2] == ((), ())
    assert_body(tmp_path, original)


# Wrappers


@pytest.mark.parametrize(
    ("model_type", "kind", "name", "words"),
    [
        ("bert", "BertModel", lambda key: f"_orig_mod.{key}", ["_orig_mod."]),
        ("bert", "BertForMaskedLM", lambda key: f"module.{key}", ["module."]),
        ("bert", "BertModel", lambda key: f"module._orig_mod.{key}", ["module.", "_orig_mod."]),
        ("bert", "BertModel", lambda key: f"_orig_mod.module.{key}", ["module.", "_orig_mod."]),
        ("bert", "BertForPreTraining", lambda key: f"module.module.{key}", ["module.", "module."]),
        ("roberta", "RobertaForMaskedLM", lambda key: f"model.{key}", ["model."]),
        ("distilbert", "DistilBertModel", lambda key: f"model.{key}", ["model."]),
        ("llama", "LlamaForCausalLM", lambda key: f"model.{key}", ["model."]),
        ("llama", "LlamaForCausalLM", lambda key: f"_forward_module.{key}", ["_forward_module."]),
        (
            "gpt2",
            "GPT2LMHeadModel",
            lambda key: key.replace("h.0.", "h.0._orig_mod."),
            ["_orig_mod."],
        ),
        (
            "bart",
            "BartForConditionalGeneration",
            lambda key: f"_fsdp_wrapped_module.{key}",
            ["_fsdp_wrapped_module."],
        ),
        ("llama", "LlamaForCausalLM", str, []),
    ],
)
def test_the_words_of_wrappers_are_taken_off_and_said(
    tmp_path: Path, model_type: str, kind: str, name: Names, words: list[str]
) -> None:
    original = saved(tmp_path, model_type, kind)
    renamed(tmp_path, name)
    assert list(fit(tmp_path, LOADER, keeps_head=False)[0]) == words
    assert_body(tmp_path, original)


def test_of_a_training_module_the_model_alone_is_unwrapped(tmp_path: Path) -> None:
    original = saved(tmp_path, "bert", "BertModel")
    renamed(tmp_path, lambda key: f"model.bert.{key}")
    rewritten(tmp_path, lambda state: state | {"loss.weight": torch.ones(2)})
    assert fit(tmp_path, LOADER, keeps_head=False)[0] == ("model.",)
    assert_body(tmp_path, original)


def test_shards_are_unwrapped(tmp_path: Path) -> None:
    original: Any = saved(tmp_path, "bert", "BertModel")
    wrapper = nn.ModuleDict({"module": original})
    (tmp_path / WEIGHTS_FILE).unlink()
    state = dict(wrapper.state_dict())
    original.save_pretrained(tmp_path, state_dict=state, max_shard_size="60KB")
    assert (tmp_path / INDEX_FILE).exists()
    assert fit(tmp_path, LOADER, keeps_head=False)[0] == ("module.",)
    assert_body(tmp_path, original)


# The head


def drawn_under(model: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    draw_head(model)
    heads = {id(p) for module in head_modules(model) for p in module.parameters()}
    return {n: p.detach().clone() for n, p in model.named_parameters() if id(p) in heads}


@pytest.mark.parametrize("model_type", TEXT)
def test_a_head_is_drawn_whole_and_nothing_else(model_type: str) -> None:
    """Weights from N(0, s^2) as the library draws them, and biases of zero."""
    model = tiny(model_type)
    before = body(model)
    before = {name: tensor.clone() for name, tensor in before.items()}
    for module in head_modules(model):
        for parameter in module.parameters():
            parameter.data.fill_(7.0)
            parameter._is_hf_initialized = True  # type: ignore[attr-defined]
    first, second = drawn_under(model, 0), drawn_under(model, 1)
    assert first
    for name, tensor in first.items():
        if name.endswith("bias"):
            assert not tensor.any(), name
        else:
            assert not torch.equal(tensor, second[name]), name
            assert 0 < tensor.std() < 0.2, name
    assert all(torch.equal(body(model)[name], before[name]) for name in before)


def test_what_a_checkpoint_lacks_has_no_part_in_the_draw_of_the_head() -> None:
    whole, lacking = tiny("bert"), tiny("bert")
    add_to_head(lacking, ("bert.pooler",))
    one, other = drawn_under(whole, 3), drawn_under(lacking, 3)
    assert other.keys() - one.keys() == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert all(torch.equal(one[name], other[name]) for name in one)


# The library


@pytest.mark.parametrize("model_type", sorted(set(TINY) - {"linear-stack"}))
def test_the_fused_attention_is_asked_for_where_the_library_has_it(model_type: str) -> None:
    fused = anatomy(model_type).attention_implementation == "sdpa"
    model: Any = tiny(model_type)
    assert model._supports_sdpa is fused
    assert model.config._attn_implementation == ("sdpa" if fused else "eager")


def test_the_library_s_warnings_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    listen()
    logger = logging.getLogger("transformers.modeling_utils")
    logger.warning("LOAD REPORT from: here")
    logger.warning("something else")
    assert caplog.messages == ["something else"]
