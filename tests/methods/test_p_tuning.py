"""P-tuning beside the reference implementation's prompt encoder."""

from typing import Any

import pytest
import torch
from peft import PromptEncoder, PromptEncoderConfig

from methods.prompt import CHILD
from methods.registry import METHODS
from tests.methods.architectures import inputs, tiny

LENGTH, FEATURES, HIDDEN = 4, 64, 10
ENCODERS = ("mlp", "lstm")


def reference(kind: str) -> Any:
    config = PromptEncoderConfig(
        num_virtual_tokens=LENGTH,
        token_dim=FEATURES,
        num_transformer_submodules=1,
        encoder_hidden_size=HIDDEN,
        encoder_reparameterization_type=kind.upper(),
    )
    return PromptEncoder(config)


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_vectors_are_peft_s(kind: str) -> None:
    method = METHODS.build("p-tuning", {"length": LENGTH, "encoder": kind, "hidden": HIDDEN})
    model, theirs = tiny("bert"), reference(kind)
    method.apply(model, torch.Generator().manual_seed(2))
    ours = model.get_submodule(CHILD)
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    assert [a.shape for a, _ in pairs] == [b.shape for _, b in pairs]
    assert sum(b.numel() for _, b in pairs) == method.body_parameters(tiny("bert"))
    with torch.no_grad():
        for own, other in pairs:
            own.copy_(other)
        expected = theirs(torch.arange(LENGTH))
    torch.testing.assert_close(method._vectors(model), expected)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ENCODERS)
def test_in_the_end_it_is_a_prompt(kind: str) -> None:
    settings: dict[str, Any] = {
        "length": LENGTH,
        "encoder": kind,
        "hidden": HIDDEN,
        "initial_std": 0.5,
    }
    method, model = METHODS.build("p-tuning", settings), tiny("bert")
    method.apply(model, torch.Generator().manual_seed(2))
    with torch.no_grad():
        before = model(**inputs("bert")).logits
        method.finish(model)
        prompt = tiny("bert")
        METHODS.build("prompt", {"length": LENGTH}).apply(prompt, torch.Generator())
        prompt.load_state_dict(model.state_dict())
        torch.testing.assert_close(prompt(**inputs("bert")).logits, before)
