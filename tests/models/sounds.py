"""Recordings, folders of them, and tiny models of sounds as real repositories hold them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

RATE = 2000
"""Samples a second that the tiny models hear."""
_SIZES: dict[str, Any] = {
    "vocab_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "classifier_proj_size": 16,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
}
_WAVES = _SIZES | {
    "conv_dim": [16, 16],
    "conv_kernel": [10, 8],
    "conv_stride": [5, 8],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
_LAYERED = _WAVES | {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
_WAVEFORM = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
    "sampling_rate": RATE,
}
_SPECTROGRAM = {
    "do_normalize": True,
    "feature_extractor_type": "ASTFeatureExtractor",
    "feature_size": 1,
    "max_length": 32,
    "num_mel_bins": 16,
    "padding_value": 0.0,
    "sampling_rate": 16000,
}
_MEL = {
    "chunk_length": 1,
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": 16,
    "hop_length": 160,
    "n_fft": 400,
    "padding_value": 0.0,
    "sampling_rate": 16000,
}


@dataclass(frozen=True)
class Sounds:
    """A model's sizes, and what its preprocessor_config.json says."""

    sizes: dict[str, Any]
    processor: dict[str, Any]
    head: str = "AutoModelForAudioClassification"
    """The auto class that it was published with."""

    @property
    def model_type(self) -> str:
        """The library's name."""
        return str(self.sizes["model_type"])

    def model(self, labels: int) -> nn.Module:
        """The tiny classifier with a head for so many labels, in evaluation mode."""
        import transformers

        made: nn.Module = self._made(transformers.AutoModelForAudioClassification, labels)
        return made.eval()

    def write(self, folder: Path, labels: int = 5) -> Path:
        """Its folder, as it was published."""
        import transformers

        model: Any = self._made(getattr(transformers, self.head), labels)
        model.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(self.processor))
        return folder

    def _made(self, auto: Any, labels: int) -> Any:
        from transformers import AutoConfig

        from finegrid.models.discovery import class_of
        from finegrid.models.pretrained import leave_inputs

        options = {key: value for key, value in self.sizes.items() if key != "model_type"}
        config = AutoConfig.for_model(self.model_type, num_labels=labels, **options)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = class_of(config, auto)(config)
        leave_inputs(model)
        return model


def _waves(model_type: str, sizes: dict[str, Any], **more: Any) -> Sounds:
    return Sounds(sizes | {"model_type": model_type} | more, _WAVEFORM)


_SQUEEZED = {"squeeze_factor": 2}
SOUNDS: dict[str, Sounds] = {
    # As facebook/wav2vec2-base: the first convolution is normalised over time, and no mask is read.
    "wav2vec2": _waves("wav2vec2", _WAVES),
    # As facebook/wav2vec2-large-lv60 and hubert-large: a norm a vector, with a mask.
    "wav2vec2 layered": _waves("wav2vec2", _LAYERED),
    "hubert": _waves("hubert", _WAVES),
    "hubert layered": _waves("hubert", _LAYERED),
    "wavlm": _waves("wavlm", _LAYERED, num_buckets=8, max_bucket_distance=16),
    "unispeech": _waves("unispeech", _LAYERED),
    "unispeech-sat": _waves("unispeech-sat", _LAYERED),
    "data2vec-audio": _waves(
        "data2vec-audio", _WAVES, conv_pos_kernel_size=5, num_conv_pos_embeddings=2
    ),
    "sew": _waves("sew", _WAVES | _SQUEEZED),
    "sew-d": _waves("sew-d", _WAVES | _SQUEEZED, position_buckets=8, max_position_embeddings=64),
    "audio-spectrogram-transformer": Sounds(
        {key: one for key, one in _SIZES.items() if "dropout" not in key and key != "vocab_size"}
        | {"model_type": "audio-spectrogram-transformer", "patch_size": 8, "max_length": 32}
        | {"num_mel_bins": 16, "frequency_stride": 8, "time_stride": 8},
        _SPECTROGRAM,
    ),
    # As openai/whisper-tiny, whose classifier leaves the decoder aside.
    "whisper": Sounds(
        {"model_type": "whisper", "vocab_size": 8, "num_mel_bins": 16, "max_source_positions": 50}
        | {"d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "classifier_proj_size": 16}
        | {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64}
        | {"decoder_ffn_dim": 64, "max_target_positions": 8, "pad_token_id": 0}
        | {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3},
        _MEL,
        "AutoModelForSpeechSeq2Seq",
    ),
}


def tone(hertz: float, seconds: float, rate: int = 8000, seed: int = 0) -> NDArray[Any]:
    """A noisy tone (samples,)."""
    at = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.02, len(at))
    return 0.4 * np.sin(2 * np.pi * hertz * at) + noise


def encoded(samples: NDArray[Any], rate: int = 8000, form: str = "WAV", **options: Any) -> bytes:
    """The bytes of a file with these samples (samples,) or (samples, channels)."""
    import soundfile

    stream = BytesIO()
    soundfile.write(stream, samples, rate, format=form, **options)
    return stream.getvalue()


def stereo(samples: NDArray[Any]) -> NDArray[Any]:
    """Two channels, of which one is half as loud."""
    return np.stack([samples, samples / 2], axis=1)


RECORDINGS = [
    encoded(tone(100, 0.31, seed=1)),
    encoded(tone(300, 0.5, 44100, seed=2), 44100, "FLAC"),
    encoded(tone(700, 0.9, 16000, seed=3), 16000, "OGG"),
    encoded(tone(110, 0.03, RATE, seed=4), RATE, subtype="PCM_U8"),
    encoded(stereo(tone(320, 0.45, seed=5)), subtype="FLOAT"),
    encoded(tone(720, 1.4, 22050, seed=6), 22050, subtype="PCM_24"),
    encoded(tone(730, 0.6, 16000, seed=7), 16000, "MP3"),
    encoded(tone(310, 0.25, 11025, seed=8), 11025, "AIFF"),
]


def write_recordings(root: Path, files: Mapping[str, bytes] | None = None, each: int = 10) -> Path:
    """`<label>/<number>.wav` of two labels that differ in pitch, or the files that are given."""
    given = files or {
        f"{label}/{number}.wav": encoded(tone(hertz, 0.2 + number / 50, seed=number + int(hertz)))
        for label, hertz in {"high": 800.0, "low": 150.0}.items()
        for number in range(each)
    }
    for name, content in given.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root
