"""Mistakes in a benchmark, and the line that names each."""

import copy
from collections.abc import Callable
from typing import Any

import yaml

Problems = Callable[[Any], list[str]]
GONE = object()
Path_ = tuple[str | int, ...]

NETWORK, TEXT = ("grids", 0), ("grids", 1)
FULL = (*NETWORK, "variants", "full")
LORA = (*NETWORK, "variants", "lora-r{rank}")
ADAPTER = (*TEXT, "variants", "adapter")


def changed(content: dict[str, Any], path: Path_, value: Any) -> dict[str, Any]:
    """The content with one value set, or taken away."""
    content = copy.deepcopy(content)
    at: Any = content
    for key in path[:-1]:
        at = at.setdefault(key, {}) if isinstance(at, dict) else at[key]
    if value is GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return content


# id: where, what, and the fragments of the one line: key, value, what is allowed.
MISTAKES: dict[str, tuple[Path_, Any, list[str]]] = {
    # Names that nothing answers to
    "method": (
        (*FULL, "method"),
        "ful",
        ["grids[0].variants.full.method: ", "'ful'", "did you mean 'full'?", "lora"],
    ),
    "task in a grid": (
        (*NETWORK, "tasks"),
        ["digitz"],
        ["grids[0].tasks[0]: ", "'digitz'", "did you mean 'digits'? allowed: digits, words"],
    ),
    "model in a grid": (
        (*NETWORK, "models", 0),
        "netwrok",
        ["grids[0].models[0]: ", "'netwrok'", "did you mean 'network'? allowed: network, tiny"],
    ),
    "registered task": (
        ("tasks", "digits", "task"),
        "digit",
        ["tasks.digits.task: ", "'digit'", "did you mean 'digits'?"],
    ),
    "source task": (
        ("models", "network", "pretraining"),
        {"task": "digitz", "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}},
        ["models.network.pretraining.task: ", "'digitz'", "did you mean 'digits'?"],
    ),
    "architecture": (
        ("models", "tiny", "configuration", "model_type"),
        "bort",
        ["models.tiny.configuration.model_type: ", "'bort'", "did you mean 'bert'?"],
    ),
    "kind": (
        ("models", "network", "kind"),
        "netwrok",
        ["models.network.kind: ", "'netwrok'", "did you mean 'network'?", "checkpoint, network"],
    ),
    "no kind": (
        ("models", "network", "kind"),
        GONE,
        ["models.network.kind: this key is required; allowed: checkpoint, network, random"],
    ),
    # Unknown keys, at every level
    "key at the top": (("sedes",), 1, ["sedes: ", "did you mean 'seeds'?", "allowed: claims"]),
    "key of a grid": ((*NETWORK, "task"), 1, ["grids[0].task: ", "did you mean 'tasks'?"]),
    "key of a variant": (
        (*FULL, "lr"),
        1,
        ["grids[0].variants.full.lr: ", "allowed: by_task, grid, learning_rate, learning_rates, "],
    ),
    "key of settings": (
        (*LORA, "settings", "alhpa"),
        1.0,
        ["grids[0].variants.lora-r{rank}.settings.alhpa: ", "did you mean 'alpha'?"],
    ),
    "key of training": (
        (*FULL, "training", "epoch"),
        1,
        ["grids[0].variants.full.training.epoch: ", "did you mean 'epochs'?"],
    ),
    "key of training in a grid": (
        (*NETWORK, "variants"),
        {"full-{epoch}": {"method": "full", "grid": {"training.epoch": [1]}}},
        ["grids[0].variants.full-{epoch}.training.epoch: ", "did you mean 'epochs'?"],
    ),
    "rate in a grid and beside it": (
        (*NETWORK, "variants"),
        {
            "full-{learning_rate}": {
                "method": "full",
                "learning_rate": 0.1,
                "grid": {"training.learning_rate": [0.1]},
            }
        },
        ["grids[0].variants.full-{learning_rate}.training.learning_rate: ", "in grid too"],
    ),
    "half weights that nothing converts": (
        (*FULL, "training", "weights"),
        "bf16",
        ["grids[0].variants.full.training.weights: bf16 with dtype: fp32", "allowed: dtype: bf16"],
    ),
    "a base that is trained in fp16": (
        (*FULL, "training"),
        {"weights": "fp16", "dtype": "bf16"},
        [
            'grids[0].variants.full.training.weights: "fp16" is not allowed; the method trains',
            "allowed: fp32, bf16",
        ],
    ),
    "a base that is trained in codes": (
        (*FULL, "training"),
        {"weights": "nf4"},
        [
            'grids[0].variants.full.training.weights: "nf4" is not allowed; the method trains',
            "codes have no gradient; allowed: fp32, bf16",
        ],
    ),
    "codes that are divided among devices": (
        (*FULL, "training"),
        {"weights": "int8", "strategy": "fsdp", "devices": 2},
        [
            "grids[0].variants.full.training.weights: int8 with strategy: fsdp",
            "allowed: strategy: ddp",
        ],
    ),
    "constants of what has none": (
        (*FULL, "training"),
        {"weights": "int8", "double_quantisation": True},
        [
            "grids[0].variants.full.training.double_quantisation: true with weights: int8",
            "allowed: weights: nf4",
        ],
    ),
    "key of an optimizer": (
        ("training", "optimizer"),
        {"lr": 0.1},
        ["training.optimizer.lr: ", "unknown key 'lr'", "allowed: betas, epsilon"],
    ),
    "a wheel in the place of a model's file": (
        ("models", "tiny", "tokenizer"),
        {"uri": "wheel:boxed==1.0", "sha256": {"boxed-1.0-py3-none-any.whl": "0" * 64}},
        [
            "models.tiny.tokenizer: ",
            "'wheel:boxed==1.0' is a wheel itself",
            "allowed: wheel:<project>==<version>/<path>",
        ],
    ),
    "key of a source": (
        ("tasks", "digits", "source", "url"),
        "x",
        ["tasks.digits.source.url: ", "did you mean 'uri'?"],
    ),
    "key of a model": (
        ("models", "network", "layer"),
        1,
        ["models.network.layer: ", "did you mean 'layers'?"],
    ),
    "key of options": (
        ("tasks", "digits", "options", "trian"),
        1,
        ["tasks.digits.options.trian: ", "did you mean 'train'?"],
    ),
    "missing key": (("models", "network", "layers"), GONE, ["models.network.layers: ", "required"]),
    "missing training": (
        ("training", "epochs"),
        GONE,
        ["grids[0].variants.full.training.epochs: this key is required"],
    ),
    "missing size": (
        ("models", "tiny", "configuration", "hidden_size"),
        GONE,
        ["models.tiny.configuration.hidden_size: this key is required"],
    ),
    # Types and ranges
    "1e-3 is text": (
        (*FULL, "learning_rate"),
        "1e-3",
        ["grids[0].variants.full.learning_rate: ", '"1e-3"', "valid number", "no quotes"],
    ),
    "1e-3 below": (
        ("training", "optimizer"),
        {"weight_decay": "1e-3"},
        ["training.optimizer.weight_decay: ", '"1e-3"', "no quotes"],
    ),
    "seeds as text": (("seeds",), "0, 1", ["seeds: ", '"0, 1"', "valid array"]),
    "a seed as text": (("seeds", 1), "1", ["seeds[1]: ", '"1"', "valid integer", "no quotes"]),
    "a date": (("description",), yaml.safe_load("2024-01-01"), ["description: ", "date", "quotes"]),
    "infinity": (
        ("training", "learning_rate"),
        float("inf"),
        ["training.learning_rate: ", "finite"],
    ),
    "a key that is no text": (("models",), {1: {}}, ["models: key 1 ", "quotes"]),
    "rank 0": (
        (*LORA, "grid", "rank"),
        [0],
        ["grids[0].variants.lora-r{rank}.settings.rank: 0 ", "greater than or equal to 1"],
    ),
    "rank above the layer": (
        (*LORA, "grid", "rank"),
        [9],
        ["grids[0].variants.lora-r{rank}.settings.rank: 9 ", "allowed: 1 to 8", "'network'"],
    ),
    "bottleneck above the layer": (
        (*ADAPTER, "settings", "size"),
        17,
        ["grids[1].variants.adapter.settings.size: 17 ", "allowed: 1 to 16", "'tiny'"],
    ),
    "a group without a learning rate": (
        (*LORA, "learning_rates"),
        {"C": "16x"},
        ["grids[0].variants.lora-r{rank}.training.learning_rates: ", '"C"', "allowed: head, A, B"],
    ),
    "negative learning rate": (
        ("training", "learning_rate"),
        -0.1,
        ["training.learning_rate: -0.1 ", "greater than 0"],
    ),
    "words for a number": (
        ("training", "learning_rate"),
        "high",
        ['training.learning_rate: "high" is not allowed; input should be a valid number'],
    ),
    "null for a number": (
        ("training", "epochs"),
        None,
        ["grids[0].variants.full.training.epochs: null ", "valid integer"],
    ),
    "micro batch": (
        ("training", "micro_batch_size"),
        5,
        ["grids[0].variants.full.training.micro_batch_size: 5 ", "must divide batch_size 32"],
    ),
    "device": (
        ("training", "device"),
        "gpu",
        ['training.device: "gpu" ', "'cpu', 'cuda' or 'mps'"],
    ),
    "beta": (
        ("training", "optimizer"),
        {"betas": [0.9, 1.0]},
        ["training.optimizer.betas[1]: 1.0 ", "less than 1"],
    ),
    "too few layers": (
        ("models", "network", "layers"),
        [784],
        ["models.network.layers: ", "2"],
    ),
    "size as text": (
        ("models", "tiny", "configuration", "num_hidden_layers"),
        "2",
        ['models.tiny.configuration.num_hidden_layers: "2" ', "a whole number from 1"],
    ),
    "vocabulary as text": (
        ("models", "tiny", "configuration", "vocab_size"),
        "30522",
        ['models.tiny.configuration.vocab_size: "30522" ', "a whole number from 1"],
    ),
    "no layers": (
        ("models", "tiny", "configuration", "num_hidden_layers"),
        0,
        ["models.tiny.configuration.num_hidden_layers: 0 ", "a whole number from 1"],
    ),
    "options together": (
        ("tasks", "digits", "options"),
        {"part": "source"},
        ["tasks.digits.options.source_size: ", "'source'", "required"],
    ),
    # Lists
    "empty grid": ((*LORA, "grid", "rank"), [], ["grids[0].variants.lora-r{rank}.grid.rank: [] "]),
    "no variants": ((*NETWORK, "variants"), {}, ["grids[0].variants: {} ", "at least 1"]),
    "no grids": (("grids",), [], ["grids: [] ", "at least 1"]),
    "one seed": (("seeds",), [0], ["seeds: [0] ", "at least 2", "interval: false"]),
    "a seed twice": (("seeds",), [3, 3], ["seeds: [3, 3] ", "twice"]),
    "a task twice": (
        (*NETWORK, "tasks"),
        ["digits", "digits"],
        ["grids[0].variants.full: ", "digits x network x full", "same cell", "allowed: one"],
    ),
    "one name twice": (
        (*NETWORK, "variants", "lora-r2"),
        {"method": "lora", "settings": {"targets": ["linear"], "rank": 3}},
        ["grids[0].variants.lora-r2: ", "digits x network x lora-r2 is the same cell"],
    ),
    "one content twice": (
        (*NETWORK, "variants", "again"),
        {"method": "full", "learning_rate": 0.01},
        ["grids[0].variants.again: ", "same cell as digits x network x full at grids[0]"],
    ),
    "two learning rates": (
        FULL,
        {"method": "full", "learning_rate": 0.1, "training": {"learning_rate": 0.2}},
        ["grids[0].variants.full.learning_rate: 0.1 ", "and in training", "allowed: one"],
    ),
    "a key in grid and settings": (
        (*LORA, "settings", "rank"),
        3,
        ["grids[0].variants.lora-r{rank}.settings.rank: ", "in grid too"],
    ),
    "no braces for a grid": (
        (*FULL, "grid"),
        {"rank": [1]},
        ["grids[0].variants.full: ", "allowed: {rank}"],
    ),
    "braces without a grid": (
        (*LORA, "grid"),
        {},
        ["grids[0].variants.lora-r{rank}: ", "allowed: no braces"],
    ),
}
