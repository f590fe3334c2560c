"""Families of models that methods were tried on: tiny, saved as public repositories have them.

`python -m tests.methods.families` writes the table of `docs/models.md`.
"""

from __future__ import annotations

import tempfile
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from finegrid.models.anatomy import Anatomy
from finegrid.models.head import add_to_head
from finegrid.models.live import anatomy_of
from finegrid.models.pretrained import check_body, draw_head, fit, read_weights
from finegrid.records.specification import Pooling
from finegrid.records.write import write_text
from methods.contract import Method
from methods.registry import METHODS
from tests.methods.architectures import CLASSES, SEQ2SEQ, T5
from tests.models import golden

LOADER = "AutoModelForSequenceClassification"

Options = dict[str, Any]
BEGIN, END = "<!-- what was tried begins -->", "<!-- what was tried ends -->"
VARIANTS: dict[str, tuple[str, Options]] = {
    "full": ("full", {}),
    "lora on q, v": ("lora", {"rank": 2, "targets": ["q", "v"]}),
    "lora on all": ("lora", {"rank": 2, "targets": ["all"]}),
    "adapter": ("adapter", {"size": 3}),
    "prefix": ("prefix", {"length": 3}),
    "bitfit": ("bitfit", {}),
}
"""Column of the table -> method and settings."""
_IDS: Options = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2}
_SIZES: Options = {
    "vocab_size": 40,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 32,
    **_IDS,
}
_KEYS: Options = {"num_key_value_heads": 2}
_HEADS: Options = _KEYS | {"head_dim": 16}
_WINDOWS: Options = {
    "layer_types": ["sliding_attention", "full_attention"],
    "sliding_window": 4,
    "query_pre_attn_scalar": 16,
}
_EXPERTS: Options = {"num_experts_per_tok": 2}


@dataclass(frozen=True)
class Tried:
    """A tiny model, by the library's class that its repositories' weights are of."""

    saved: str
    options: Options = field(default_factory=dict)
    pooling: Pooling | None = None

    def load(self) -> nn.Module:
        """The classifier with the weights of a checkpoint, as a run loads it."""
        kind = getattr(transformers, self.saved)
        torch.manual_seed(0)
        model = kind(kind.config_class(**(_SIZES | self.options)))
        for parameter in model.parameters():  # biases and gains that do something
            parameter.data += torch.randn_like(parameter) / 20
        with tempfile.TemporaryDirectory() as name:
            model.save_pretrained(name)
            return self._load(Path(name))

    def _load(self, folder: Path) -> nn.Module:
        drawn = fit(folder, LOADER, self.pooling, keeps_head=False).drawn
        config: Any = transformers.AutoConfig.from_pretrained(folder)
        config.num_labels = CLASSES
        model, report = read_weights(folder, config, LOADER, self.pooling)
        add_to_head(model, drawn)
        check_body(model, report)
        draw_head(model)
        return model.eval()


FAMILIES: dict[str, Tried] = {
    "albert": Tried("AlbertForPreTraining", {"embedding_size": 32}),
    "bart": Tried("BartForConditionalGeneration", SEQ2SEQ | {"num_attention_heads": 2}),
    "bert": Tried("BertForPreTraining"),
    "bloom": Tried("BloomForCausalLM"),
    "deberta-v2": Tried(
        "DebertaV2ForMaskedLM", {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
    ),
    "distilbert": Tried("DistilBertForMaskedLM", {"hidden_dim": 96}),
    "electra": Tried("ElectraForPreTraining", {"embedding_size": 32}),
    "falcon": Tried("FalconForCausalLM", {"multi_query": True}),
    "falcon by groups": Tried(
        "FalconForCausalLM", {"new_decoder_architecture": True, "num_kv_heads": 2}
    ),
    "gemma2": Tried("Gemma2ForCausalLM", _HEADS | _WINDOWS),
    "gemma3_text": Tried("Gemma3ForCausalLM", _HEADS | _WINDOWS),
    "gpt2": Tried("GPT2LMHeadModel"),
    "gpt_bigcode": Tried("GPTBigCodeForCausalLM"),
    "gpt_neox": Tried("GPTNeoXForCausalLM"),
    "llama": Tried("LlamaForCausalLM", _KEYS),
    "mamba": Tried("MambaForCausalLM", {"state_size": 8}, pooling="last"),
    "mistral": Tried("MistralForCausalLM", _HEADS | {"sliding_window": 4}),
    "mixtral": Tried("MixtralForCausalLM", _KEYS | _EXPERTS | {"num_local_experts": 4}),
    "modernbert": Tried(
        "ModernBertForMaskedLM",
        {"layer_types": ["sliding_attention", "full_attention"], "local_attention": 4}
        | {"cls_token_id": 2, "sep_token_id": 2},
    ),
    "mpnet": Tried("MPNetForMaskedLM"),
    "olmo2": Tried("Olmo2ForCausalLM", _KEYS),
    "opt": Tried("OPTForCausalLM", {"ffn_dim": 96, "word_embed_proj_dim": 64}),
    "phi3": Tried("Phi3ForCausalLM", _KEYS),
    "qwen2": Tried("Qwen2ForCausalLM", _KEYS),
    "qwen3": Tried("Qwen3ForCausalLM", _HEADS),
    "qwen3_moe": Tried(
        "Qwen3MoeForCausalLM", _HEADS | _EXPERTS | {"num_experts": 4, "moe_intermediate_size": 32}
    ),
    "roberta": Tried("RobertaForMaskedLM"),
    "smollm3": Tried("SmolLM3ForCausalLM", _KEYS),
    "t5": Tried("T5ForConditionalGeneration", T5 | {"feed_forward_proj": "gated-gelu"}),
    "xlm-roberta": Tried("XLMRobertaForMaskedLM"),
}


@cache
def _loaded(name: str) -> nn.Module:
    with torch.random.fork_rng():
        return FAMILIES[name].load()


def loaded(name: str) -> nn.Module:
    """A copy of the family's model, loaded once."""
    return deepcopy(_loaded(name))


def anatomy(name: str) -> Anatomy:
    """What methods know of the family's model."""
    return anatomy_of(_loaded(name))


def method(variant: str) -> Method:
    """The method of a column."""
    return METHODS.build(*VARIANTS[variant])


def table() -> str:
    """The table of the document: what runs on each family, or why not."""
    rows = [f"| model type | {' | '.join(VARIANTS)} |", "|---" * (1 + len(VARIANTS)) + "|"]
    for name in FAMILIES:
        reasons = [method(variant).not_applicable(anatomy(name)) for variant in VARIANTS]
        cells = [(reason or "yes").replace("*", "\\*") for reason in reasons]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Write the table into the document."""
    before, _, rest = golden.DOCUMENT.read_text().partition(BEGIN)
    write_text(golden.DOCUMENT, f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
