"""Models of sounds by numbers: what padding does, and which layers are called."""

from typing import Any

import pytest
import torch
from torch import nn

from finegrid.models.coverage import LINEAR
from finegrid.models.live import anatomy_of
from kinds.inputs.sound_forms import padding_reason, reads_mask
from methods.registry import METHODS
from tests.models.sounds import SOUNDS

WAVES = [name for name, one in SOUNDS.items() if "conv_dim" in one.sizes]
SHORT, LONG = 1400, 2000


def batch(name: str) -> dict[str, torch.Tensor]:
    """Two recordings."""
    draw = torch.Generator().manual_seed(0)
    sizes = SOUNDS[name].sizes
    if name in WAVES:
        return {"input_values": torch.randn(2, LONG, generator=draw)}
    if name == "whisper":
        frames = 2 * sizes["max_source_positions"]
        return {"input_features": torch.randn(2, sizes["num_mel_bins"], frames, generator=draw)}
    shape = (2, sizes["max_length"], sizes["num_mel_bins"])
    return {"input_values": torch.randn(*shape, generator=draw)}


def masked(values: torch.Tensor, length: int) -> dict[str, torch.Tensor]:
    mask = (torch.arange(values.shape[1]) < length).long().expand(values.shape)
    return {"input_values": values * mask, "attention_mask": mask}


@pytest.mark.parametrize("name", WAVES)
@torch.no_grad()
def test_padding_shows_just_where_a_reason_says_so(name: str) -> None:
    """The same recording by itself, and behind it what pads it, with the mask."""
    model: Any = SOUNDS[name].model(3)
    values = batch(name)["input_values"][:1]
    alone = model(**masked(values[:, :SHORT], SHORT)).logits
    padded = model(**masked(values, SHORT)).logits
    sizes = SOUNDS[name].sizes
    is_neutral = padding_reason(sizes) is None
    assert torch.allclose(alone, padded, atol=1e-5) == is_neutral
    assert is_neutral <= reads_mask(sizes)


@pytest.mark.parametrize("name", SOUNDS)
@torch.no_grad()
def test_a_layer_is_called_unless_its_weight_alone_is_read(name: str) -> None:
    model: Any = SOUNDS[name].model(3)
    parts, called = anatomy_of(model).parts, set[str]()
    for part in parts:
        layer = model.get_submodule(part.path)
        layer.register_forward_hook(lambda *_, path=part.path: called.add(path))
    model(**batch(name))
    assert {part.path for part in parts} - called == {
        part.path for part in parts if part.stored == "weight"
    }
    assert any(part.stored in LINEAR for part in parts)


def test_a_method_on_layers_that_are_never_called_says_so() -> None:
    anatomy = anatomy_of(SOUNDS["wavlm"].model(3))
    lora = METHODS.build("lora", {})
    reason = str(lora.not_applicable(anatomy))
    assert reason.startswith("stored as weight, not as linear layers: ")
    assert "attention.q_proj" in reason
    assert METHODS.build("lora", {"targets": ["up", "down"]}).not_applicable(anatomy) is None


@pytest.mark.parametrize("name", ["wav2vec2", "data2vec-audio", "sew"])
def test_nothing_goes_back_through_convolutions_that_are_not_trained(name: str) -> None:
    model: Any = SOUNDS[name].model(3).train()
    METHODS.build("head", {}).apply(model, torch.Generator())
    seen: list[torch.Tensor] = []
    body: nn.Module = model.base_model.feature_extractor
    body.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(**batch(name)).logits.sum().backward()
    assert [one.requires_grad for one in seen] == [False]
