"""Tiny configurations: small, and of the same architecture."""

import re
from typing import Any

import pytest

from finegrid.models.blueprint import Purpose
from finegrid.records.specification import RandomModel, Source
from finegrid.rehearsal.patterns import matching
from finegrid.rehearsal.shrink import shrunk

WRITES, TELLS = Purpose("AutoModelForCausalLM"), Purpose("AutoModelForSequenceClassification")
SHOWS = Purpose("AutoModelForImageClassification")


def tiny(purpose: Purpose, **configuration: Any) -> dict[str, Any]:
    """The library's own configuration of a type, with these keys, made small."""
    source = Source(uri="path:nowhere")
    model = RandomModel(kind="random", name="m", configuration=configuration, tokenizer=source)
    found = shrunk(model, [purpose], lambda whole: {})
    assert found.anatomies[purpose].block_weights < 1 << 23
    return found.configuration


def test_grouped_heads_keep_their_ratio_and_ties_stay() -> None:
    keys = {"num_attention_heads": 24, "num_key_value_heads": 8, "tie_word_embeddings": True}
    found = tiny(WRITES, model_type="llama", hidden_size=3072, head_dim=128, **keys)
    assert found["num_attention_heads"] == 3 * found["num_key_value_heads"] > 3
    assert found["hidden_size"] == found["num_attention_heads"] * found["head_dim"]
    assert found["tie_word_embeddings"] is True


def test_stages_keep_their_number_and_get_fewer_blocks() -> None:
    found = tiny(SHOWS, model_type="swin", depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24])
    assert found["depths"] == [2, 2, 2, 2]
    assert found["embed_dim"] == 48


def test_a_model_that_is_small_may_stay_whole() -> None:
    assert tiny(SHOWS, model_type="mobilevit")["hidden_sizes"] == [144, 192, 240]


def test_every_type_of_layer_stays() -> None:
    found = tiny(WRITES, model_type="gemma3_text")
    assert set(found["layer_types"]) == {"sliding_attention", "full_attention"}
    assert found["num_hidden_layers"] == len(found["layer_types"]) == 2


def test_a_vocabulary_and_positions_stay() -> None:
    found = tiny(TELLS, model_type="roberta", vocab_size=50265, max_position_embeddings=514)
    assert (found["vocab_size"], found["max_position_embeddings"]) == (50265, 514)


@pytest.mark.parametrize(
    "pattern",
    [
        r"#### (-?[\d.,]+)",
        r"The answer is: *(.*\S)",
        r"(true|false|(?:answer|option)\d)",
        r"\\boxed\{(.*)\}$",
        r"[^a-z]+x{2,}",
        r"\b([A-E])\b",
    ],
)
def test_a_text_is_found_that_a_pattern_matches(pattern: str) -> None:
    assert re.search(pattern, matching(pattern))
