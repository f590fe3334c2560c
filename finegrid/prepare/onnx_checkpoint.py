"""An ONNX file as a checkpoint in the transformers layout, converted once. Loads no torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finegrid.models.anatomy import Anatomy
from finegrid.prepare.checkpoint_files import body_problems
from finegrid.prepare.onnx_file import OnnxError
from finegrid.prepare.onnx_weights import dequantised, input_first, read_weights
from finegrid.prepare.tokenizer_file import SETTINGS_FILE, TOKENIZER_FILE
from finegrid.records.specification import ONNX_END, Checkpoint
from finegrid.records.weights import WEIGHTS_FILE

_CONFIGURATION_FILE = "config.json"
_ROLES = ("pad", "unk", "bos", "eos", "cls", "sep", "mask")
"""Special tokens of which a configuration may say the ids."""
_AS_THE_FILE_SAYS = "PreTrainedTokenizerFast"


def lay_out(folder: Path, destination: Path, configuration: Mapping[str, Any]) -> None:
    """Copy what lies beside an ONNX file, and add what is not there: configuration, settings.

    Without settings the library reads `tokenizer.json` as the tokenizer of the model's type, which
    may have other rules: BERT's takes every text in lower case. The file alone is to decide.
    """
    for path in folder.iterdir():
        if path.is_file() and path.suffix != ONNX_END:
            shutil.copyfile(path, destination / path.name)
    if not (destination / _CONFIGURATION_FILE).exists():
        _write(destination / _CONFIGURATION_FILE, configuration)
    tokenizer, settings = destination / TOKENIZER_FILE, destination / SETTINGS_FILE
    if tokenizer.exists() and not settings.exists():
        _write(settings, dict(_settings(tokenizer, configuration)))


def convert(path: Path, destination: Path, model: Checkpoint, anatomy: Anatomy) -> str | None:
    """Write the weights of an ONNX file to a folder, in fp32.

    Returns what they were de-quantised from, or None where the file holds them as numbers. Raises
    OnnxError for a file that cannot be read and for sizes that are not those of the configuration,
    and OSError.
    """
    from safetensors.numpy import save_file

    weights = read_weights(path, input_first(anatomy))
    shapes = {name: weight.shape for name, weight in weights.items()}
    if found := list(body_problems(shapes, anatomy, model)):
        raise OnnxError(f"{path.name}: {'; '.join(found)}")
    numbers = {name: weight.numbers() for name, weight in weights.items()}
    save_file(numbers, destination / WEIGHTS_FILE, metadata={"format": "pt"})
    return dequantised(weights)


def _settings(tokenizer: Path, configuration: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What reads a tokenizer as its file says, and the special tokens that the model names."""
    yield "tokenizer_class", _AS_THE_FILE_SAYS
    content = json.loads(tokenizer.read_text(encoding="utf-8"))
    added = {token["id"]: token["content"] for token in content.get("added_tokens") or ()}
    for role in _ROLES:
        named = configuration.get(f"{role}_token_id")
        if isinstance(named, int) and named in added:
            yield f"{role}_token", added[named]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(dict(content), indent=2) + "\n", encoding="utf-8")
