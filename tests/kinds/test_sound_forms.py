"""What feature extractors make, as their settings say it, against the library's own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinds.inputs.sound_forms import FormError, form_of, misfit, padding_reason, reads_mask
from tests.models.sounds import SOUNDS, tone

AST = SOUNDS["audio-spectrogram-transformer"]
WHISPER = SOUNDS["whisper"]


@pytest.mark.parametrize("name", ["wav2vec2", "audio-spectrogram-transformer", "whisper"])
def test_the_library_s_extractor_makes_that_form(name: str, tmp_path: Path) -> None:
    from transformers import AutoFeatureExtractor

    settings = SOUNDS[name].processor
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    form = form_of(settings)
    sound = tone(200, 0.7, form.rate).astype(np.float32)
    made = extractor(sound, sampling_rate=form.rate, return_tensors="np")[form.name][0]
    expected = (len(sound),) if form.bins is None else form.shape
    assert made.shape == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "sampling_rate: None; allowed: a whole number from 1"),
        ({"sampling_rate": "16000"}, "sampling_rate: '16000'; allowed"),
        ({"sampling_rate": 16000, "padding_value": 1.0}, "padding_value: 1.0; allowed: 0"),
        ({"sampling_rate": 16000, "num_mel_bins": 80, "stride": 2}, "spectrograms of any length"),
    ],
)
def test_settings_that_do_not_say_it_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(FormError) as caught:
        form_of(settings)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("sounds", "change", "message"),
    [
        (AST, {"max_length": 64}, "32 frames, and the model takes 64 alone; allowed: the same"),
        (AST, {"num_mel_bins": 8}, "16 bins, and the model takes 8 alone"),
        (WHISPER, {"max_source_positions": 1500}, "100 frames, and the model takes 3000 alone"),
        (WHISPER, {}, None),
        (SOUNDS["wav2vec2"], {}, None),
    ],
)
def test_a_form_has_to_be_what_the_model_takes(
    sounds: Any, change: dict[str, Any], message: str | None
) -> None:
    found = misfit(form_of(sounds.processor), sounds.sizes | change)
    assert found == message if message is None else str(found).startswith(message)


@pytest.mark.parametrize(
    ("name", "masked", "padded"),
    [
        ("wav2vec2", False, True),
        ("wav2vec2 layered", True, False),
        ("hubert layered", True, False),
        ("wavlm", True, False),
        ("data2vec-audio", True, True),
        ("sew", False, True),
    ],
)
def test_masks_and_padding_follow_the_architecture(name: str, masked: bool, padded: bool) -> None:
    sizes = SOUNDS[name].sizes
    assert (reads_mask(sizes), padding_reason(sizes) is not None) == (masked, padded)
