"""Tiny models that write, and their tokenizers."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

from finegrid.models.pooling import attention_implementation, classifier_class
from tests.methods.architectures import SEQ2SEQ, T5
from tests.models.texts import END, PAD, START, WORDS, write_tokenizer

CAUSAL, BETWEEN = "AutoModelForCausalLM", "AutoModelForSeq2SeqLM"
SIZES: dict[str, Any] = {
    "vocab_size": 4 + len(WORDS),
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 64,
    "pad_token_id": PAD,
    "bos_token_id": START,
    "eos_token_id": END,
}
OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": (CAUSAL, {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "llama": (CAUSAL, {"num_key_value_heads": 1}),
    "mistral": (CAUSAL, {"num_key_value_heads": 1, "head_dim": 32, "tie_word_embeddings": True}),
    "t5": (BETWEEN, {**T5, "feed_forward_proj": "gated-gelu"}),
    "bart": (BETWEEN, {**SEQ2SEQ, "decoder_start_token_id": END}),
}
"""Model type -> auto class, and what its configuration says beside the sizes."""


def writer(model_type: str, **changed: Any) -> nn.Module:
    """A model as a run makes one, in evaluation mode."""
    loader, own = OWN[model_type]
    config = AutoConfig.for_model(model_type, **(SIZES | own | changed))
    kind = classifier_class(config, loader)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made: nn.Module = kind._from_config(
            config, attn_implementation=attention_implementation(kind)
        )
    return made.eval()


def write_writer(folder: Path, model_type: str, **tokenizer: Any) -> Path:
    """The configuration of such a model and its tokenizer, in a folder."""
    single = "$A </s>" if OWN[model_type][0] == BETWEEN else "<s> $A"
    write_tokenizer(folder, single, **tokenizer)
    config: Any = writer(model_type).config
    config.save_pretrained(folder)
    return folder
