"""Counts and bounds of models that devices divide among them, by hand."""

from typing import Any

import pytest

from finegrid.models.anatomies import Anatomies
from finegrid.planning.estimate import base_parameters, device_bytes
from finegrid.records.specification import Network, RandomModel, Source
from kinds.registry import kind_named
from tasks.registry import kind_of
from tests.workflow.forecast.place import Place

# As the checkpoints have them: 0.49B and 70.6B in arXiv:2412.15115 and arXiv:2407.21783.
DECODERS: dict[str, tuple[dict[str, Any], int]] = {
    "qwen2.5-0.5b": (
        {
            "model_type": "qwen2",
            "vocab_size": 151936,
            "hidden_size": 896,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "intermediate_size": 4864,
            "max_position_embeddings": 32768,
            "tie_word_embeddings": True,
        },
        494_032_768,
    ),
    "llama-3.1-70b": (
        {
            "model_type": "llama",
            "vocab_size": 128256,
            "hidden_size": 8192,
            "num_hidden_layers": 80,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "intermediate_size": 28672,
            "max_position_embeddings": 131072,
            "tie_word_embeddings": False,
        },
        70_553_706_496,
    ),
}


@pytest.mark.parametrize("name", DECODERS)
def test_positions_that_only_turn_vectors_are_no_parameters(name: str) -> None:
    sizes, published = DECODERS[name]
    tokens = Source(uri="path:tokens")
    model = RandomModel(kind="random", name="x", configuration=sizes, tokenizer=tokens)
    anatomy = Anatomies().of(model, kind_named("causal-lm").purpose)
    assert base_parameters(model, anatomy) == pytest.approx(published, rel=0.02)


def test_what_a_device_gathers_of_a_network_by_hand(place: Place) -> None:
    """Of a layer and a head: where all is trained, the head's weights and gradient and three times
    the layer; else as much of layers, and the head once."""
    spec = next(iter(place.pipeline().runs.values()))
    model = Network(kind="network", name="network", layers=(4, 3, 2))
    changes = {"batch_size": 10, "evaluation_batch_size": 5, "devices": 2, "strategy": "fsdp"}
    training = spec.training.model_copy(update=changes)
    shared = spec.model_copy(update={"model": model, "training": training})
    anatomy = Anatomies().of(model, kind_of(spec.task).purpose)
    activations = 1.5 * 5 * ((4 + 2 * 3) + (3 + 2 * 2))
    block, rest = 4 * 3, 23 - 4 * 3
    full = 4 * 23 / 2 + 2 * rest + 3 * block
    added = (23 + 3 * 500_000) / 2 + rest + 3 * block
    for trains_base, numbers in ((True, full), (False, added)):
        found = device_bytes(shared, anatomy, trains_base=trains_base)
        assert found == pytest.approx(4 * (numbers + activations), abs=1)
