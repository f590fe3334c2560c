"""Checkpoints of a tiny BERT, in one file and in shards, of which nothing is loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from finegrid.records.specification import Checkpoint, Source
from finegrid.records.weights import INDEX_FILE, WEIGHTS_FILE

Content = dict[str, Any]
Problems = Callable[[Any], list[str]]
REVISION = "0123456789abcdef0123456789abcdef01234567"
CONFIGURATION: Content = {
    "model_type": "bert",
    "vocab_size": 20,
    "hidden_size": 4,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 6,
    "max_position_embeddings": 64,
}


def bert(blocks: int = 3, hidden: int = 4, before: str = "bert.") -> dict[str, Any]:
    """Weights as a BERT's are named, of its layers alone."""
    state: dict[str, Any] = {f"{before}embeddings.word_embeddings.weight": np.ones((20, hidden))}
    parts = ("attention.self.query", "attention.self.key", "attention.self.value")
    for block in range(blocks):
        at = f"{before}encoder.layer.{block}"
        state |= {f"{at}.{part}.weight": np.ones((hidden, hidden)) for part in parts}
        state[f"{at}.attention.output.dense.weight"] = np.ones((hidden, hidden))
        state[f"{at}.intermediate.dense.weight"] = np.ones((6, hidden))
        state[f"{at}.output.dense.weight"] = np.ones((hidden, 6))
    return state


def write(folder: Path, state: dict[str, Any], **configuration: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIGURATION | configuration))
    save_file({k: v.astype("float32") for k, v in state.items()}, folder / WEIGHTS_FILE)
    return folder


def write_shards(folder: Path, state: dict[str, Any], count: int = 3) -> list[str]:
    """The weights in several files, and their index."""
    write(folder, {})
    (folder / WEIGHTS_FILE).unlink()
    names = [f"model-{number + 1:05}-of-{count:05}.safetensors" for number in range(count)]
    for number, name in enumerate(names):
        part = dict(list(state.items())[number::count])
        save_file({k: v.astype("float32") for k, v in part.items()}, folder / name)
    where = {key: names[number % count] for number, key in enumerate(state)}
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return names


def checkpoint(folder: Path, **more: Any) -> Checkpoint:
    configuration = json.loads((folder / "config.json").read_text())
    fields = {"kind": "checkpoint", "name": "tiny", "configuration": configuration}
    return Checkpoint(**fields, source=Source(uri=f"path:{folder}"), **more)
