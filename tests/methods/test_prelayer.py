"""States that are trained in every block: a prompt's own, put there, change nothing."""

from typing import Any

import pytest
import torch

from finegrid.models.layers import blocks_of
from methods.injection import added
from methods.registry import METHODS
from tests.methods.architectures import inputs, logits, tiny
from tests.methods.reference import applied

LENGTH = 3


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "qwen3"])
@torch.no_grad()
def test_the_states_of_a_prompt_in_all_blocks_are_prompt_tuning(model_type: str) -> None:
    """A decoder's prompt sees no token: what the blocks are given of it is the same for all rows.

    The first block is given the prompt with whatever embeddings add to it, such as positions.
    """
    prompt, seen = applied("prompt", model_type, length=LENGTH, initial_std=0.5), list[Any]()
    for block in blocks_of(prompt):
        block.register_forward_pre_hook(
            lambda module, given, named: seen.append((given or (named["hidden_states"],))[0]),
            with_kwargs=True,
        )
    expected = logits(prompt, model_type)
    model = applied("prelayer", model_type, length=LENGTH, initial_std=0.5)
    states = added(model, "prompt")["P"]
    assert states.shape == (len(seen), LENGTH, 64)
    assert not torch.allclose(logits(model, model_type), expected, atol=1e-3)
    for own, given in zip(states, seen, strict=True):
        found = given[:, :LENGTH]
        torch.testing.assert_close(found, found[:1].expand_as(found))
        own.copy_(found[0])
    torch.testing.assert_close(logits(model, model_type), expected, atol=1e-6, rtol=0)
    states[-1].neg_()  # the last block is given its own
    assert not torch.allclose(logits(model, model_type), expected, atol=1e-4)


def test_an_encoder_decoder_has_them_in_its_encoder_alone() -> None:
    method, model = METHODS.build("prelayer", {"length": LENGTH}), tiny("t5")
    assert method.body_parameters(model) == 2 * LENGTH * 64
    method.apply(model, torch.Generator())
    model(**inputs("t5")).logits.sum().backward()
    gradient = added(model, "prompt")["P"].grad
    assert gradient is not None
    assert gradient.abs().amax(dim=(1, 2)).min() > 0
