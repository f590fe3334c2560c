"""What a model's feature extractor makes of recordings, by what its repository says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from finegrid.models.family import family_of

VALUES, FEATURES = "input_values", "input_features"
"""What a model of sounds is called with: the second has a spectrogram's bins first."""
_RATE, _CHUNK, _FRAMES, _BINS = "sampling_rate", "chunk_length", "max_length", "num_mel_bins"
_FRAMES_A_SECOND = 100
"""Of a spectrogram as Kaldi makes them."""
_HOP, _POSITIONS = 160, 1500
"""The library's defaults: samples between two of Whisper's frames, vectors that it makes of all."""
_MASKED_NORM = "layer"
_ALLOWED = (
    "allowed: a waveform (as Wav2Vec2FeatureExtractor), or a spectrogram of one length (as "
    "ASTFeatureExtractor, WhisperFeatureExtractor)"
)


class FormError(ValueError):
    """Settings that do not say what is made of a recording: one line with the reason."""


class Form(NamedTuple):
    """What is made of a recording: a waveform, or a spectrogram of one length."""

    rate: int
    """Samples a second that the extractor takes."""
    name: str
    """What the model calls it."""
    frames: int | None = None
    """Of each spectrogram; None for a waveform, whose frames are its samples."""
    bins: int | None = None
    """Numbers of a spectrogram's frame."""
    hop: int = 1
    """Samples between two frames."""

    def longest(self, seconds: int) -> int:
        """The most frames of a recording that is cut to so many seconds."""
        return self.frames or seconds * self.rate

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of an example; None where the length varies."""
        if self.bins is None:
            return (None,)
        return (self.bins, self.frames) if self.name == FEATURES else (self.frames, self.bins)


def form_of(settings: Mapping[str, Any]) -> Form:
    """The form that a feature extractor with these settings makes. Raises FormError."""
    rate = _whole(settings, _RATE)
    if settings.get("padding_value", 0) != 0:
        raise FormError(f"padding_value: {settings['padding_value']}; allowed: 0, which is silence")
    if _CHUNK in settings:
        hop = settings.get("hop_length", _HOP)
        bins = _whole(settings, "feature_size")
        return Form(rate, FEATURES, _whole(settings, _CHUNK) * rate // hop, bins, hop)
    if _BINS not in settings:
        return Form(rate, VALUES)
    if _FRAMES not in settings:
        raise FormError(f"spectrograms of any length; {_ALLOWED}")
    frames, bins = _whole(settings, _FRAMES), _whole(settings, _BINS)
    return Form(rate, VALUES, frames, bins, rate // _FRAMES_A_SECOND)


def _whole(settings: Mapping[str, Any], key: str) -> int:
    found = settings.get(key)
    if type(found) is not int or found < 1:
        raise FormError(f"{key}: {found!r}; allowed: a whole number from 1")
    return found


def misfit(form: Form, configuration: Mapping[str, Any]) -> str | None:
    """Why a model with this configuration cannot read such an example, or None."""
    if form.bins is None:
        return None
    if form.name == FEATURES:
        takes = {"frames": 2 * configuration.get("max_source_positions", _POSITIONS)}
    else:
        takes = {"frames": configuration.get(_FRAMES, form.frames)}
    takes["bins"] = configuration.get(_BINS, form.bins)
    for what, wanted in takes.items():
        if (made := getattr(form, what)) != wanted:
            return f"{made} {what}, and the model takes {wanted} alone; allowed: the same in both"
    return None


def reads_mask(configuration: Mapping[str, Any]) -> bool:
    """Whether a model reads a mask of what is a recording, and what pads it.

    By the library's own advice: not where the first convolution is normalised over time.
    """
    if family_of(str(configuration.get("model_type"))).masked:
        return True
    return configuration.get("feat_extract_norm") == _MASKED_NORM


def padding_reason(configuration: Mapping[str, Any]) -> str | None:
    """Why what a model says of a waveform depends on what pads it, or None where it does not."""
    if not reads_mask(configuration):
        return "it reads no mask, as its first convolution is normalised over time"
    return family_of(str(configuration.get("model_type"))).padding_reason
