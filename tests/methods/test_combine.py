"""Methods in one model: what one computes after the other, and what cannot be together."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from methods.registry import METHODS
from tests.methods.architectures import anatomy, inputs, tiny

LORA = {"method": "lora", "settings": {"rank": 2}}


def combined(**parts: Any) -> Any:
    return METHODS.build("combine", {"parts": parts})


def test_parts_compute_what_each_would_alone() -> None:
    """LoRA beside trained biases: each of the two from a model of its own, put into a third."""
    both, method = tiny("bert"), combined(ranks=LORA, biases={"method": "bitfit"})
    method.apply(both, torch.Generator())
    alone = tiny("bert")
    METHODS.build("lora", {"rank": 2}).apply(alone, torch.Generator())
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in both.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.1)
            alone.get_parameter(name).copy_(parameter)
    batch = inputs("bert")
    assert torch.equal(both(**batch).logits, alone(**batch).logits)
    assert not torch.allclose(both(**batch).logits, tiny("bert")(**batch).logits, atol=1e-3)
    method.merge(both)  # the biases are the base's own
    torch.testing.assert_close(both(**batch).logits, alone(**batch).logits, atol=1e-6, rtol=0)
    assert both.state_dict().keys() == tiny("bert").state_dict().keys()


def test_the_default_is_the_mix_and_match_adapter() -> None:
    """He et al. 2022, table 6: 30 vectors of keys and of values a layer, a bottleneck of 512."""
    model = tiny("bert")
    found = METHODS.build("combine", {}).body_parameters(model)
    assert found == 2 * (2 * 30 * 64 + 2 * 64 * 512 + 512 + 64)


def test_a_record_shows_the_settings_of_the_parts() -> None:
    method = combined(ranks=LORA, biases={"method": "bitfit"})
    assert method.parts["ranks"].settings["alpha"] == 16.0
    assert method.parts["biases"].settings == {"added_to": []}
    assert method.groups == ("bias", "A", "B")  # in the order of the names


def test_parts_are_merged_where_each_has_layers_of_its_own() -> None:
    factors = {"method": "ia3"}
    assert combined(ranks=LORA, factors=factors).mergeable is False  # both change v
    keys = {"method": "lora", "settings": {"rank": 2, "targets": ["q"]}}
    assert combined(ranks=keys, factors=factors).mergeable
    norms, biases = {"method": "layernorm"}, {"method": "bitfit", "settings": {"added_to": ["q"]}}
    assert combined(ranks=LORA, norms=norms).mergeable  # what is the base's own is merged already
    assert not combined(ranks=LORA, biases=biases).mergeable
    everything = {"method": "lora", "settings": {"rank": 2, "targets": ["all"]}}
    assert not combined(ranks=everything, factors=factors).mergeable


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": LORA}, "at least 2 items"),
        ({"a": LORA, "b": {"method": "loar"}}, "b: method: 'loar'; allowed: adapter, bitfit, "),
        ({"a": LORA, "b": {"method": "combine"}}, "b: method: 'combine'; allowed: "),
        ({"a": LORA, "b": {"method": "full"}}, "b: method: 'full'; allowed: "),
        (
            {"a": LORA, "b": {"method": "lora", "settings": {"rank": 0}}},
            "b: settings.rank: Input should be greater than or equal to 1, not 0",
        ),
    ],
)
def test_what_is_no_part_is_one_error(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match="1 validation error") as raised:
        combined(**parts)
    assert message in str(raised.value)


def test_a_part_that_does_not_fit_names_itself() -> None:
    wide = {"method": "adapter", "settings": {"size": 65}}
    (problem,) = combined(ranks=LORA, wide=wide).problems(anatomy("bert"))
    assert problem.startswith("parts.wide.settings.size: 65 is above")
    reason = combined(ranks=LORA, p={"method": "prefix"}).not_applicable(anatomy("linear-stack"))
    assert str(reason) == "p: the model has no attention"


def test_two_parts_never_train_the_same_tensors() -> None:
    for parts in (
        {"a": LORA, "b": LORA},
        {"a": {"method": "bitfit"}, "b": {"method": "layernorm"}},
        {"a": {"method": "prompt"}, "b": {"method": "prompt"}},
    ):
        (problem,) = combined(**parts).problems(anatomy("bert"))
        assert problem == "parts: a and b train the same tensors; allowed: one of the two"
    keys = {"method": "lora", "settings": {"rank": 2, "targets": ["k"]}}
    assert not list(combined(a=LORA, b=keys).problems(anatomy("bert")))
