"""The method that trains nothing leaves a model as it came."""

import pytest
import torch

from methods.parameters import delta_state, trainable_state
from methods.registry import METHODS
from tests.methods.architectures import TINY, logits, tiny


@torch.no_grad()
@pytest.mark.parametrize("model_type", TINY)
def test_a_model_is_left_as_it_came(model_type: str) -> None:
    """Its head too, which all other methods train."""
    plain, model, method = tiny(model_type), tiny(model_type), METHODS.build("untouched", {})
    method.apply(model, torch.Generator().manual_seed(0))
    assert torch.equal(logits(model, model_type), logits(plain, model_type))
    assert trainable_state(model) == delta_state(model) == {}
    assert method.expected_parameters(plain) == 0
    before, after = plain.state_dict(), model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
