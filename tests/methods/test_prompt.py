"""Where the prompt stands: in the encoder alone, and within the positions that a model has."""

from typing import Any

import pytest
import torch
from transformers.models.bart.modeling_bart import shift_tokens_right

from methods.injection import added
from tests.methods.architectures import inputs, logits, tiny
from tests.methods.reference import applied


@pytest.mark.parametrize("model_type", ["bart", "t5"])
@torch.no_grad()
def test_an_encoder_decoder_reads_the_prompt_in_its_encoder_alone(model_type: str) -> None:
    """Lester et al. 2021, section 2, written out with the parts of the plain model."""
    model, plain = applied("prompt", model_type, length=4, initial_std=0.5), tiny(model_type)
    base: Any = plain.base_model
    batch, config = inputs(model_type), base.config
    tokens, mask = batch["input_ids"], batch["attention_mask"]
    prompt = added(model, "prompt")["P"].expand(len(tokens), -1, -1)
    embedded = torch.cat([prompt, base.get_encoder().get_input_embeddings()(tokens)], dim=1)
    seen = torch.cat([torch.ones(len(tokens), 4, dtype=mask.dtype), mask], dim=1)
    states = base.get_encoder()(inputs_embeds=embedded, attention_mask=seen).last_hidden_state
    shifted = shift_tokens_right(tokens, config.pad_token_id, config.decoder_start_token_id)
    decoded = base.get_decoder()(
        input_ids=shifted, encoder_hidden_states=states, encoder_attention_mask=seen
    ).last_hidden_state
    ends = decoded[tokens == config.eos_token_id]
    expected = plain.get_submodule("classification_head")(ends)
    torch.testing.assert_close(logits(model, model_type), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("model_type", "limit"), [("bert", 32), ("gpt2", 32), ("roberta", 30)])
def test_more_positions_than_the_model_has_are_refused(model_type: str, limit: int) -> None:
    """Of RoBERTa's 32 no token takes the first two."""
    logits(applied("prompt", model_type, length=limit - 9), model_type)
    with pytest.raises(ValueError, match=f"take {limit + 1} positions, the model has {limit}"):
        logits(applied("prompt", model_type, length=limit - 8), model_type)
