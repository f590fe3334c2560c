"""Prepare a base model: fetched, made on the spot, or pretrained; the manifest is written last."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue, TypeAdapter, ValidationError

from records.identity import file_sha256
from records.prepared import MANIFEST_FILE, PreparedModel
from records.specification import (
    Checkpoint,
    Model,
    Network,
    RandomModel,
    Source,
    model_key,
)
from training.devices import NoDeviceError
from workflow.sources import DOWNLOADS, SourceError, fetch, local_files

CONFIGURATION_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
ADAPTER_FILE = "adapter_config.json"
"""Makes the library load more weights than the model's own."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
HUB_FILES = (CONFIGURATION_FILE, WEIGHTS_FILE, *TOKENIZER_FILES)
"""What is taken of a hub repository whose source lists no files; the tokenizer is a fast one."""
TAKEN = (".json", ".safetensors", ".txt", ".model")
"""Endings of what is taken of a folder whose source lists no files."""


def prepare_model(model: Model, destination: Path, tasks: Path, cache: Path) -> PreparedModel:
    """Write the model's files to `destination`, and its manifest.

    `tasks` holds the prepared tasks, for a network's pretraining; `cache` keeps downloads. Raises
    SourceError, also for weights that are no safetensors, OSError, ValueError where a configuration
    is not the one that was planned, and NoDeviceError where a pretraining's device is missing.
    """
    (destination / MANIFEST_FILE).unlink(missing_ok=True)
    destination.mkdir(parents=True, exist_ok=True)
    pretraining: dict[str, JsonValue] | None = None
    if isinstance(model, Checkpoint):
        _fetch_checkpoint(model, destination, cache)
    elif isinstance(model, RandomModel):
        _make_random(model, destination, cache)
    else:
        pretraining = _make_network(model, tasks, destination)
    files = {path.name: file_sha256(path) for path in sorted(destination.iterdir())}
    manifest = PreparedModel(key=model_key(model), spec=model, files=files, pretraining=pretraining)
    manifest.write(destination / MANIFEST_FILE)
    return manifest


def _fetch_checkpoint(model: Checkpoint, destination: Path, cache: Path) -> None:
    files = _taken(model.source, HUB_FILES)
    fetch(model.source, destination, files, cache=cache, repo_type="model")
    _check_weights(model.source, destination)
    found = json.loads((destination / CONFIGURATION_FILE).read_text(encoding="utf-8"))
    for key, value in model.configuration.items():
        if found.get(key) != value:
            raise ValueError(
                f"configuration.{key}: {value!r} was planned, {CONFIGURATION_FILE} has "
                f"{found.get(key)!r}"
            )


def _make_random(model: RandomModel, destination: Path, cache: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    options = dict(model.configuration)
    torch.manual_seed(model.seed)
    config = AutoConfig.for_model(str(options.pop("model_type")), **options)
    files = _taken(model.tokenizer, TOKENIZER_FILES)
    fetch(model.tokenizer, destination, files, cache=cache, repo_type="model")
    made = AutoModel.from_config(config, trust_remote_code=False, attn_implementation="sdpa")
    made.save_pretrained(destination)
    _check_weights(model.tokenizer, destination)


def _taken(source: Source, of_hub: tuple[str, ...]) -> tuple[str, ...] | None:
    """The files to fetch; None for those that the source lists, or for the one that it is."""
    if source.sha256:
        return None
    if source.uri.startswith("hub:"):
        return of_hub
    return tuple(name for name in local_files(source) if _is_taken(name)) or None


def _is_taken(name: str) -> bool:
    return name.endswith(TAKEN) and "/" not in name


def _check_weights(source: Source, folder: Path) -> None:
    """Refuse a model without safetensors, and one whose folder adds other weights."""
    if not (folder / WEIGHTS_FILE).exists():
        raise SourceError(
            f"{source.uri}: no {WEIGHTS_FILE}; pickled weights, such as pytorch_model.bin, are "
            "never read; allowed: weights saved as safetensors, in one file"
        )
    if (folder / ADAPTER_FILE).exists():
        raise SourceError(f"{source.uri}: {ADAPTER_FILE} adds other weights; allowed: none such")


def _make_network(model: Network, tasks: Path, destination: Path) -> dict[str, JsonValue] | None:
    from training.pretrain import make_network

    return make_network(model, tasks, destination)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Returns 0, 65 for wrong data, 74 where reading or writing fails, or 78 where there is no device.
    """
    options = _parser().parse_args(arguments)
    try:
        text = sys.stdin.read() if options.spec == "-" else Path(options.spec).read_text("utf-8")
        model: Model = TypeAdapter(Model).validate_json(text)
        prepare_model(model, options.output, options.tasks, options.cache)
    except OSError as error:
        return _fail(os.EX_IOERR, str(error))
    except (SourceError, ValidationError, ValueError) as error:
        return _fail(os.EX_DATAERR, str(error))
    except NoDeviceError as error:
        return _fail(os.EX_CONFIG, str(error))
    return os.EX_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workflow.prepare_model", description=__doc__)
    parser.add_argument("--spec", required=True, help="the model as JSON: a file, or - for stdin")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    parser.add_argument("--tasks", required=True, type=Path, help="folder of prepared tasks")
    parser.add_argument("--cache", type=Path, default=DOWNLOADS, help="folder of downloads")
    return parser


def _fail(code: int, message: str) -> int:
    sys.stderr.write(f"prepare_model: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
