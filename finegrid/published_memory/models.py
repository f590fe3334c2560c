"""The models of boards: their configurations, as their repositories hold them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from finegrid.published_memory.board import BoardError

Configuration = Mapping[str, JsonValue]

_LLAMA_3_2: Configuration = {
    "model_type": "llama",
    "vocab_size": 128256,
    "num_key_value_heads": 8,
    "intermediate_size": 8192,
    "max_position_embeddings": 131072,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "bos_token_id": 128000,
    "eos_token_id": 128001,
}
_CONFIGURATIONS: Mapping[str, Configuration] = {
    "meta-llama/Llama-3.2-1B": {
        **_LLAMA_3_2,
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "head_dim": 64,
    },
    "meta-llama/Llama-3.2-3B": {
        **_LLAMA_3_2,
        "hidden_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "head_dim": 128,
    },
}


def configuration(name: str) -> Configuration:
    """The configuration of a model by its name on the Hub. Raises BoardError."""
    if name not in _CONFIGURATIONS:
        known = ", ".join(_CONFIGURATIONS)
        raise BoardError(f"model: no configuration of {name!r} is carried; allowed: {known}")
    return _CONFIGURATIONS[name]
