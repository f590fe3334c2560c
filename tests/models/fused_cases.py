"""A tiny model of each fused layout, and how it is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

Options = dict[str, Any]
Run = Callable[[Any], object]
TOKENS = 6
_SIZES: Options = {
    "vocab_size": 40,
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 8,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 1,
}
_NARROW: Options = {"hidden_size": 32, "num_attention_heads": 4}


def _read(model: Any) -> object:
    return model(input_ids=torch.arange(2, 2 + TOKENS)[None])


def _look(model: Any) -> object:
    """Run the vision encoder of a model of images and text."""
    return model.vision_model(pixel_values=torch.rand(1, 3, 16, 16, dtype=torch.float64))


def _look_at_patches(model: Any) -> object:
    grid = torch.tensor([[1, 4, 4]])
    return model.model.visual(torch.rand(16, 24, dtype=torch.float64), grid_thw=grid)


@dataclass(frozen=True)
class Case:
    """A model type with options that make it tiny."""

    model_type: str
    options: Options = field(default_factory=dict)
    run: Run = _read
    sizes: Options = field(default_factory=lambda: _SIZES)

    def build(self) -> nn.Module:
        """The model in double precision, with every parameter drawn."""
        from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText

        config = AutoConfig.for_model(self.model_type, **(self.sizes | self.options))
        head = AutoModel if self.run is _read else AutoModelForImageTextToText
        torch.manual_seed(0)
        # the fast kernels of experts know no double precision
        made = head.from_config(config, experts_implementation="eager")
        model: nn.Module = made.double().eval()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.2)
        return model


_BLIP = {
    "vision_config": {**_NARROW, "num_hidden_layers": 1, "intermediate_size": 48}
    | {"image_size": 16, "patch_size": 4},
    "text_config": {**_NARROW, "num_hidden_layers": 1, "intermediate_size": 48, "vocab_size": 40},
}
_QWEN2_VL = {
    "vision_config": {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 4}
    | {"patch_size": 2, "in_channels": 3},
    "text_config": {**_NARROW, "num_hidden_layers": 1, "intermediate_size": 48, "vocab_size": 40}
    | {"num_key_value_heads": 2},
}
_GPT = {"n_embd": 64, "n_layer": 1, "n_head": 8, "n_positions": 32, "n_inner": 48}
_KEYS = {"num_key_value_heads": 2}
_BLOOM = {"n_layer": 1, "n_head": 8}
_QWEN3_NEXT = _KEYS | {
    "head_dim": 16,
    "layer_types": ["full_attention"],
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
CASES: dict[str, Case] = {
    "blip": Case("blip", _BLIP, _look, {}),
    "bloom": Case("bloom", _BLOOM),
    "codegen": Case("codegen", _GPT | {"rotary_dim": 4}),
    "deberta": Case("deberta"),
    "falcon": Case("falcon", {"multi_query": True}),
    "falcon by groups": Case("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon by head": Case("falcon", {"multi_query": False}),
    "glm": Case("glm", _KEYS | {"head_dim": 8}),
    "glm4": Case("glm4", _KEYS | {"head_dim": 8}),
    "gpt2": Case("gpt2", _GPT),
    "gpt_bigcode": Case("gpt_bigcode", _GPT),
    "gpt_bigcode by head": Case("gpt_bigcode", _GPT | {"multi_query": False}),
    "gpt_neox": Case("gpt_neox"),
    "gpt_neox_japanese": Case("gpt_neox_japanese", {"intermediate_multiple_size": 2}),
    "imagegpt": Case("imagegpt", _GPT),
    "modernbert": Case("modernbert"),
    "modernbert-decoder": Case("modernbert-decoder"),
    "mpt": Case("mpt", {"d_model": 64, "n_heads": 8, "n_layers": 1, "max_seq_len": 32}),
    "openai-gpt": Case("openai-gpt", _GPT),
    "persimmon": Case("persimmon"),
    "phi3": Case("phi3"),
    "phi3 with few keys": Case("phi3", _KEYS),
    "qwen2_vl": Case("qwen2_vl", _QWEN2_VL, _look_at_patches, {}),
    "qwen3_next": Case("qwen3_next", _QWEN3_NEXT),
}
EXPERTS: dict[str, Case] = {
    "gpt_oss": Case("gpt_oss", _KEYS | {"head_dim": 8, "num_local_experts": 2}),
    "mixtral": Case("mixtral", _KEYS | {"num_local_experts": 2}),
    "qwen3_moe": Case(
        "qwen3_moe",
        _KEYS
        | {"head_dim": 8, "num_experts": 2, "num_experts_per_tok": 1}
        | {"moe_intermediate_size": 16},
    ),
}
