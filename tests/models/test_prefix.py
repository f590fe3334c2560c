"""Where an anatomy says that a prefix is possible, the function of `prefix` computes it.

Types outside the hand-written table: a prefix of no length leaves the model's outputs to the bit,
one of three moves them, and every module of attention that is named takes part.
"""

from typing import Any

import pytest
import torch

from finegrid.models.discovery import default_loader, discover
from methods.injection import add_parameters
from methods.prefix import _ATTENTION, _CHILD, _register_attention

_SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "bos_token_id": 3,
}
_STACKS: dict[str, Any] = {
    "vocab_size": 40,
    "d_model": 64,
    "pad_token_id": 1,
    "decoder_start_token_id": 3,
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 1),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 96),
}
_GPT = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 40, "pad_token_id": 1}
_SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "window_size": 4}
TYPES: dict[str, dict[str, Any]] = {
    "albert": {**_SIZES, "embedding_size": 32},
    "gpt_bigcode": _GPT,
    "gpt_neox": _SIZES,
    "m2m_100": _STACKS,
    "mixtral": {**_SIZES, "num_key_value_heads": 2, "num_local_experts": 2},
    "persimmon": _SIZES,
    "phi3": {**_SIZES, "num_key_value_heads": 2},
    "swin": {**_SWIN, "depths": [1, 1], "num_heads": [2, 4]},
}


def batch(reads: str, *, encoder_decoder: bool) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    if reads == "images":
        return {"pixel_values": torch.rand(2, 3, 32, 32, generator=draw)}
    tokens = torch.randint(4, 40, (2, 7), generator=draw)
    mask = torch.ones_like(tokens)
    mask[1, 5:], tokens[1, 5:] = 0, 1
    decoder = {"decoder_input_ids": tokens} if encoder_decoder else {}
    return {"input_ids": tokens, "attention_mask": mask, **decoder}


@pytest.mark.parametrize("model_type", TYPES)
def test_a_prefix_reaches_every_module_that_is_named(model_type: str) -> None:
    import transformers

    config = transformers.AutoConfig.for_model(model_type, **TYPES[model_type])
    torch.manual_seed(0)
    model: Any = getattr(transformers, default_loader(config)).from_config(config).eval()
    found = discover(model)
    inputs = batch(found.reads, encoder_decoder=found.encoder_decoder)
    plain = model(**inputs).logits.detach()
    _register_attention()
    for one in found.attention:
        empty = {name: torch.zeros(one.key_heads, 0, one.head_size) for name in ("key", "value")}
        add_parameters(model.get_submodule(one.path), _CHILD, empty)
    model.set_attn_implementation(_ATTENTION)
    assert torch.equal(model(**inputs).logits, plain)
    prefixes = [model.get_submodule(f"{one.path}.{_CHILD}") for one in found.attention]
    for one, prefix in zip(found.attention, prefixes, strict=True):
        for name in ("key", "value"):
            prefix[name] = torch.nn.Parameter(torch.randn(one.key_heads, 3, one.head_size))
    moved = model(**inputs).logits
    assert not torch.allclose(moved, plain)
    moved.square().sum().backward()
    assert all(prefix["value"].grad.abs().sum() > 0 for prefix in prefixes)
    assert len(prefixes) == len(found.attention) > 0
