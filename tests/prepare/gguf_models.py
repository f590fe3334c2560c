"""Tiny Llamas written as GGUF files: what a file holds is known here, number by number."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import quantize
from numpy.typing import NDArray

from finegrid.records.identity import file_sha256
from finegrid.records.specification import Checkpoint, Source

Weights = Mapping[str, NDArray[np.float32]]
HEADS, KEY_HEADS, HIDDEN, INNER = 4, 2, 64, 96
BYTES = [chr(one) for one in range(33, 127)] + [chr(one) for one in range(256, 324)]
TOKENS = ["<s>", "</s>", *BYTES, "ab"]
CONFIGURATION: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": len(TOKENS),
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEY_HEADS,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
CHAT = "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '</s>' }}{% endfor %}"
_NORM = "model.norm.weight"
_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def drawn(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Random weights by the names that transformers has for them."""
    draw = np.random.default_rng(seed)
    keys = HIDDEN // HEADS * KEY_HEADS
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (len(TOKENS), HIDDEN)}
    for block in range(2):
        sizes = [(HIDDEN, HIDDEN), (keys, HIDDEN), (keys, HIDDEN), (HIDDEN, HIDDEN)]
        sizes += [(INNER, HIDDEN), (INNER, HIDDEN), (HIDDEN, INNER)]
        every = [*sizes, (HIDDEN,), (HIDDEN,)]
        named = zip(_NAMES, every, strict=True)
        shapes |= {f"model.layers.{block}.{name}.weight": size for name, size in named}
    shapes[_NORM] = (HIDDEN,)
    return {
        name: (draw.standard_normal(size) / 8 + (len(size) == 1)).astype(np.float32)
        for name, size in shapes.items()
    }


def write(path: Path, weights: Weights, kind: str = "F32", architecture: str = "llama") -> Path:
    """Write a GGUF file, its matrices of that type and its norms in fp32."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_vocab_size(len(TOKENS))
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(2)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    control = [gguf.TokenType.CONTROL] * 2
    writer.add_token_types([*control, *[gguf.TokenType.NORMAL] * (len(TOKENS) - 2)])
    writer.add_token_merges(["a b"])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(CHAT)
    for name, weight in weights.items():
        _add(writer, _name(name), _turned(name, weight), kind if weight.ndim > 1 else "F32")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def checkpoint(path: Path, **changes: Any) -> Checkpoint:
    """A model of a benchmark whose source is a GGUF file, with its hash."""
    source = Source(uri=f"path:{path}", sha256={path.name: file_sha256(path)})
    known: dict[str, Any] = {"source": source, "configuration": CONFIGURATION} | changes
    return Checkpoint(kind="checkpoint", name="tiny", **known)


def _add(writer: gguf.GGUFWriter, name: str, weight: NDArray[np.float32], kind: str) -> None:
    found = gguf.GGMLQuantizationType[kind]
    writer.add_tensor(name, quantize(weight, found), raw_dtype=found)


def _name(name: str) -> str:
    """What llama.cpp calls a weight."""
    if name == _NORM:
        return "output_norm.weight"
    if name.startswith("model.embed_tokens"):
        return "token_embd.weight"
    _, _, block, rest = name.split(".", 3)
    return f"blk.{block}.{_NAMES[rest.removesuffix('.weight')]}.weight"


def _turned(name: str, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows in llama.cpp's order: the two halves of a head's rotation stand in turn."""
    heads = {"q_proj": HEADS, "k_proj": KEY_HEADS}.get(name.split(".")[-2])
    if heads is None:
        return weight
    halves = weight.reshape(heads, 2, -1, weight.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))
