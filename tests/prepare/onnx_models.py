"""Tiny models of transformers that torch exports as ONNX files, and that are quantised here."""

import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from finegrid.records.identity import file_sha256
from finegrid.records.specification import Checkpoint, Source

LOADER = "AutoModelForTokenClassification"
FILE = "tiny.onnx"
TEXT = torch.arange(2, 14)[None]
"""The ids of one text, (1, tokens)."""
INPUTS = {"input_ids": TEXT, "attention_mask": torch.ones_like(TEXT)}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "dog", "Dog", *(f"w{at}" for at in range(34))]
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "distilbert": {
        **{"model_type": "distilbert", "vocab_size": 40, "dim": 16, "hidden_dim": 24},
        **{"n_layers": 2, "n_heads": 4, "max_position_embeddings": 32, "pad_token_id": 0},
    },
    "bert": {
        **{"model_type": "bert", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24},
        **{"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32},
    },
    "gpt2": {
        **{"model_type": "gpt2", "vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 4},
        **{"n_positions": 32, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0},
    },
}


class Quantised(NamedTuple):
    """How weights become codes."""

    kind: str
    axis: int | None
    """The axis of matrices that has a scale for each place; None for one scale a tensor."""


def drawn(name: str) -> PreTrainedModel:
    """The library's own model of a configuration, with random weights that all differ."""
    options = {key: value for key, value in CONFIGURATIONS[name].items() if key != "model_type"}
    config = AutoConfig.for_model(name, **options, use_cache=False)
    torch.manual_seed(0)
    model: Any = AutoModelForTokenClassification.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) / 4 + (parameter.ndim == 1))
    found: PreTrainedModel = model.eval()
    return found


def exported(path: Path, model: PreTrainedModel) -> Path:
    """Write the graph that torch makes of a model that reads token ids and their mask."""
    options: dict[str, Any] = {"dynamo": False, "input_names": list(INPUTS), "opset_version": 19}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has a newer exporter, which needs another package
        torch.onnx.export(model, (), path, kwargs=INPUTS, **options)
    return path


def quantised(path: Path, how: Quantised) -> Path:
    """Put codes and `DequantizeLinear` at the place of every matrix in a file."""
    model = onnx.load(path)
    graph = model.graph
    matrices = [one for one in graph.initializer if len(one.dims) == 2]
    for number, matrix in enumerate(matrices):
        codes, scale, zero = _codes(numpy_helper.to_array(matrix), how)
        names = [f"{matrix.name}_{end}" for end in ("quantized", "scale", "zero_point")]
        found = f"{matrix.name}_DequantizeLinear_Output"
        for node in graph.node:
            node.input[:] = [found if one == matrix.name else one for one in node.input]
        arrays = zip((codes, scale, zero), names, strict=True)
        graph.initializer.extend([numpy_helper.from_array(*one) for one in arrays])
        graph.initializer.remove(matrix)
        node = helper.make_node("DequantizeLinear", names, [found], axis=how.axis or 0)
        graph.node.insert(number, node)
    onnx.save(model, path)
    return path


def _codes(
    matrix: NDArray[np.float32], how: Quantised
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[Any]]:
    """Codes, scales and zero points of a matrix."""
    others = None if how.axis is None else 1 - how.axis
    low, high = np.asarray(matrix.min(axis=others)), np.asarray(matrix.max(axis=others))
    if how.kind == "INT8":
        scale, zero = np.maximum(-low, high) / 127, np.zeros(low.shape, np.int8)
    else:
        scale = (high - low) / 255
        zero = np.round(-low / scale).clip(0, 255).astype(np.uint8)
    shifted = matrix / _along(scale, how.axis) + _along(zero.astype(np.float32), how.axis)
    limits = np.iinfo(zero.dtype)
    codes = np.round(shifted).clip(limits.min, limits.max).astype(zero.dtype)
    return codes, scale.astype(np.float32), zero


def _along(values: NDArray[Any], axis: int | None) -> NDArray[Any]:
    return values if axis is None else np.expand_dims(values, 1 - axis)


def write_tokenizer(folder: Path) -> None:
    """A cased tokenizer of whole words, in one file without settings, as some packages have it."""
    content = {
        "version": "1.0",
        "added_tokens": [
            {"id": at, "content": word, "special": True} | dict.fromkeys(_SWITCHES, False)
            for at, word in enumerate(WORDS[:4])
        ],
        "normalizer": {
            **{"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True},
            **{"strip_accents": None, "lowercase": False},
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            **{"type": "WordPiece", "unk_token": "[UNK]", "max_input_chars_per_word": 100},
            **{"continuing_subword_prefix": "##"},
            "vocab": {word: at for at, word in enumerate(WORDS)},
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))


def checkpoint(folder: Path, name: str = "distilbert", **changes: Any) -> Checkpoint:
    """A model of a benchmark whose source is a folder with an ONNX file, with its hashes."""
    hashes = {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}
    source = Source(uri=f"path:{folder}", sha256=hashes)
    known: dict[str, Any] = {"source": source, "configuration": CONFIGURATIONS[name]} | changes
    return Checkpoint(kind="checkpoint", name="tiny", **known)


_SWITCHES = ("single_word", "lstrip", "rstrip", "normalized")
