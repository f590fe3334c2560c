"""A GGUF file as a checkpoint in the transformers layout, converted once.

`python -m finegrid.prepare.gguf_checkpoint FILE` prints the configuration of a file's model, for
the key `configuration` of a benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finegrid.prepare.gguf_file import MISSING, GgufError, architecture, dequantised, has_package
from finegrid.prepare.tokenizer_file import SETTINGS_FILE, TOKENIZER_FILE
from finegrid.records.weights import WEIGHTS_FILE

_LOADERS = ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModel")
"""Auto classes, the first of which that has the model holds all of the file's weights."""
_OF_THIS_MACHINE = ("_name_or_path", "_model_name_or_path", "quantization_config")
_PLANNED = (
    *("model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings"),
    *("tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id"),
)
"""Keys of a configuration that decide a model's shapes, of which those that are there are told."""


def convert(path: Path, destination: Path) -> str | None:
    """Write the model of a GGUF file to a folder: weights, configuration, tokenizer, chat template.

    The weights are written as numbers in fp32, as the library de-quantises them. Returns what they
    were de-quantised from, or None where the file holds them as numbers. Raises GgufError for a
    file that the library cannot read, and OSError.
    """
    import torch
    import transformers
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    said = dequantised(path) if has_package() else None
    configuration = _configuration(path)
    place: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    loader: Any = next(
        getattr(transformers, name)
        for name in _LOADERS
        if type(configuration) in getattr(transformers, name)._model_mapping
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, trust_remote_code=False, **place)
        model = loader.from_pretrained(
            path.parent, trust_remote_code=False, dtype=torch.float32, **place
        )
    except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise _unread(path, error) from error
    # The library writes no model that it has read from GGUF: to it, the model stays quantised.
    save_file(_untied(model), destination / WEIGHTS_FILE, metadata={"format": "pt"})
    _write_configuration(configuration, destination)
    tokenizer.save_pretrained(destination)
    _drop_unheld(destination, int(configuration.vocab_size))
    return said


def _untied(model: Any) -> dict[str, Any]:
    """The weights by name, each once: one that body and head share by its name in the body."""
    start = f"{model.base_model_prefix}."
    state = sorted(model.state_dict().items(), key=lambda item: not item[0].startswith(start))
    found, seen = {}, set[int]()
    for name, tensor in state:
        if tensor.data_ptr() not in seen:
            found[name] = tensor.contiguous()
        seen.add(tensor.data_ptr())
    return found


def _drop_unheld(folder: Path, rows: int) -> None:
    """Take out of a tokenizer what the library has added to it, for which the model has no row.

    It gives every byte-level vocabulary the end of text of GPT-2, under a new id where there is
    no such token.
    """
    path, settings_path = folder / TOKENIZER_FILE, folder / SETTINGS_FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    added = content.get("added_tokens") or []
    unheld = {token["content"] for token in added if token["id"] >= rows}
    if not unheld:
        return
    content["added_tokens"] = [token for token in added if token["id"] < rows]
    settings = json.loads(settings_path.read_text(encoding="utf-8"))
    kept = {
        key: value
        for key, value in settings.items()
        if not (isinstance(value, str) and value in unheld)
    }
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
    settings_path.write_text(json.dumps(kept, ensure_ascii=False, indent=2), encoding="utf-8")


def _configuration(path: Path) -> Any:
    """The library's configuration of a file's model. Raises GgufError."""
    from transformers import AutoConfig

    if not has_package():
        raise GgufError(MISSING)
    name = architecture(path)
    try:
        return AutoConfig.from_pretrained(
            path.parent, gguf_file=path.name, trust_remote_code=False, local_files_only=True
        )
    except (ValueError, KeyError) as error:
        raise _unread(path, error, name) from error


def _unread(path: Path, error: Exception, name: str | None = None) -> GgufError:
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    name = name or architecture(path)
    if name not in GGUF_SUPPORTED_ARCHITECTURES:
        allowed = ", ".join(sorted(GGUF_SUPPORTED_ARCHITECTURES))
        return GgufError(
            f"{path.name} holds a model of architecture {name!r}, which transformers does not read "
            f"from GGUF; allowed: {allowed}"
        )
    line = " ".join(str(error).split())
    return GgufError(f"{path.name}: transformers cannot read this model ({name}): {line}")


def _write_configuration(configuration: Any, destination: Path) -> None:
    """Write `config.json` without what tells of the file or of this machine."""
    configuration.save_pretrained(destination)
    path = destination / "config.json"
    found = json.loads(path.read_text(encoding="utf-8")) | {"dtype": "float32"}
    kept = {key: value for key, value in found.items() if key not in _OF_THIS_MACHINE}
    path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what a benchmark says of a file's model; returns 0, or 65 for a file that is none."""
    parser = argparse.ArgumentParser(prog="python -m finegrid.prepare.gguf_checkpoint")
    parser.add_argument("file", type=Path, help="a GGUF file")
    path = parser.parse_args(arguments).file
    try:
        found = _configuration(path).to_dict()
    except (GgufError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return os.EX_DATAERR
    told = {key: found[key] for key in _PLANNED if found.get(key) is not None}
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
