"""Recordings, as a model's own feature extractor reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from finegrid.models.anatomy import Reads
from kinds.contract import Examined, Example, Facts, Unit
from kinds.inputs.recordings import (
    RECORDING_DEFINITION,
    Recording,
    RecordingError,
    decoded,
    digests,
    is_recording,
    recording_matches,
    resampled,
)
from kinds.inputs.sound_forms import (
    FEATURES,
    VALUES,
    Form,
    FormError,
    form_of,
    misfit,
    padding_reason,
    reads_mask,
)
from kinds.inputs.whole_files import WholeFiles, files_of

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from finegrid.models.anatomy import Anatomy
    from finegrid.records.encoded import Processor
    from finegrid.records.specification import Model
    from kinds.inputs.duplicates import Comparison

_CONFIGURATION_FILE = "config.json"
_HEARD, _LEFT_OUT, _MASK = "heard", "left_out", "attention_mask"
"""How many frames of an example are the recording, how many more that has, and what a model reads
of that."""
_VALUE_BYTES = 8
"""Of a sample of a waveform: in the file that is mapped to memory, and in a tensor."""
_CONVOLUTIONS = {"conv_dim": [512] * 7, "conv_stride": [5, 2, 2, 2, 2, 2, 2]}
"""The library's defaults of what comes before the blocks of a model of waveforms."""
_KEPT = 4
"""Numbers that a convolution keeps for each that it gives out: with its norm and activation."""
_SHORTEST_SECONDS = 0.05
"""Silence follows a shorter recording up to here: less gives no vector in most models."""
_PATCHES = {"patch_size": 16, "frequency_stride": 10, "time_stride": 10}


@dataclass(frozen=True)
class FeatureExtractor:
    """A model's feature extractor, and what it makes."""

    extractor: Any
    """Of transformers."""
    form: Form
    is_padded: bool
    """Whether waveforms are padded to one length, as padding changes what the model says."""
    is_masked: bool
    """Whether the model reads how much of an example is the recording."""


@dataclass(frozen=True)
class Audio(WholeFiles):
    """The bytes of an audio file a row.

    A frame is a sample of a waveform, or a column of a spectrogram. `max_length` counts seconds: a
    longer recording is cut there, but for a model of spectrograms, which takes one length alone.
    """

    modality: ClassVar[Reads] = "audio"
    unit: ClassVar[Unit] = "frame"
    packages: ClassVar[tuple[str, ...]] = ("scipy", "soundfile", "torch", "transformers")
    part: ClassVar[str | None] = "feature_extractor"
    column: ClassVar[str] = "audio"
    noun: ClassVar[str] = "recordings"

    def compare(self) -> Comparison:
        """By equal samples."""
        from kinds.inputs.duplicates import Comparison

        return Comparison(
            RECORDING_DEFINITION,
            lambda rows: digests(content for _, content in files_of(rows, self.column)),
            recording_matches,
            finds_near=False,
        )

    def is_readable(self, start: bytes) -> bool:
        """Whether a recording begins so."""
        return is_recording(start)

    def examine(self, content: bytes) -> Examined:
        """Its rate and its seconds."""
        try:
            recording = decoded(content)
        except RecordingError as error:
            return Examined(str(error))
        return Examined(facts={"rate": recording.rate, "seconds": recording.seconds})

    def remarks(self, facts: Sequence[Facts]) -> Iterator[str]:
        """The rates with their numbers of recordings, and how long these last."""
        rates = [one["rate"] for one in facts]
        counts = (f"{rates.count(rate)} at {rate:,.0f} Hz" for rate in sorted(set(rates)))
        lengths = [one["seconds"] for one in facts]
        shown = f"{min(lengths):.1f} to {max(lengths):.1f} s"
        yield f"{len(facts)} recordings of {shown}: {', '.join(counts)}"

    def configure(self) -> dict[str, Any]:
        """Nothing is masked or left out at random in training, as no image is augmented."""
        return {"apply_spec_augment": False, "layerdrop": 0.0}

    def unfit(self, model: Model, anatomy: Anatomy) -> str | None:
        """An extractor that makes something else than the model takes."""
        try:
            found = misfit(form_of(model.processor), model.configuration)
        except FormError as error:
            return f"its preprocessor_config.json: {error}"
        return f"its preprocessor_config.json makes {found}" if found else None

    def processor(self, folder: Path) -> FeatureExtractor:
        """The feature extractor of the model in the folder."""
        from transformers import AutoFeatureExtractor

        from finegrid.models.processing import processor_settings

        files = {path.name: path for path in folder.iterdir()}
        found = AutoFeatureExtractor.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        form, content = form_of(processor_settings(files, str(self.part))), _configuration(folder)
        is_wave = form.bins is None
        return FeatureExtractor(
            found,
            form,
            is_padded=is_wave and padding_reason(content) is not None,
            is_masked=is_wave and reads_mask(content),
        )

    def planned(self, model: Model) -> Processor:
        """What the repository says of the extractor, and what is done about padding."""
        return _processor(model.processor, model.configuration)

    def made_of(self, folder: Path) -> Processor:
        """The same, of the files."""
        from finegrid.models.processing import processor_settings

        files = {path.name: path for path in folder.iterdir()}
        settings = processor_settings(files, str(self.part))
        return _processor(settings, _configuration(folder))

    def encode(self, rows: pa.Table, processor: FeatureExtractor, max_length: int) -> list[Example]:
        """Waveforms (frames,), or spectrograms (frames, bins) or (bins, frames), in fp32.

        `max_length` are the most frames. Raises ValueError for a recording that comes out of
        another form than was planned.
        """
        return [
            _encoded(row, content, processor, max_length)
            for row, content in files_of(rows, self.column)
        ]

    def encoded(self, example: Example) -> pa.Schema:
        """Lists of 32-bit floats, of fixed sizes for a spectrogram, and counts of frames."""
        import pyarrow as pa

        name, values = _values(example)
        kind = pa.float32()
        for length in reversed(values.shape) if values.ndim > 1 else ():
            kind = pa.list_(kind, length)
        kind = kind if values.ndim > 1 else pa.list_(kind)
        counts = [(one, pa.int32()) for one in (_HEARD, _LEFT_OUT) if one in example]
        return pa.schema([(name, kind), *counts])

    def size(self, example: Example) -> int:
        """Its frames, those that pad it among them."""
        name, values = _values(example)
        return int(values.shape[-1 if name == FEATURES else 0])

    def left_out(self, example: Example) -> int:
        """The frames that its recording has beyond the length."""
        return int(example[_LEFT_OUT])

    def counts(self, model: Model) -> str | None:
        """Seconds, for waveforms."""
        return "seconds of a recording" if form_of(model.processor).bins is None else None

    def longest(self, max_length: int, model: Model) -> int:
        """The frames of `max_length` seconds, or of every spectrogram.

        Raises FormError where `unfit` would say why.
        """
        return form_of(model.processor).longest(max_length)

    def positions(self, units: int, model: Model) -> int:
        """What the convolutions or the patches of the model make of so many frames."""
        form, configuration = form_of(model.processor), model.configuration
        if form.frames is None or form.bins is None:
            return units // prod(_numbers(configuration, "conv_stride")) + 1
        if form.name == FEATURES:
            return units // 2
        patch, frequency, time = (_known(configuration, key) for key in _PATCHES)
        columns = (form.bins - patch) // frequency + 1
        each = columns * ((form.frames - patch) // time + 1) + 2  # class and distillation
        return units // form.frames * each

    def before_blocks(self, units: int, model: Model) -> int:
        """The outputs of the convolutions over a waveform, each with its norm and activation."""
        if form_of(model.processor).bins is not None:
            return 0
        widths, strides = (_numbers(model.configuration, key) for key in _CONVOLUTIONS)
        lengths = [units // prod(strides[: at + 1]) for at in range(len(strides))]
        outputs: int = sum(map(mul, lengths, widths))
        return _KEPT * outputs

    def unit_bytes(self, model: Model) -> int:
        """Those of a frame."""
        return _VALUE_BYTES * (form_of(model.processor).bins or 1)

    def collate(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """Waveforms (batch, frames), padded by silence, with their mask where the model reads one;
        or spectrograms (batch, frames, bins) or (batch, bins, frames).
        """
        import numpy as np
        import torch

        name, _ = _values(examples[0])
        found = [one[name] for one in examples]
        if found[0].ndim > 1:
            return {name: torch.tensor(np.stack(found))}
        padded = np.zeros((len(found), max(map(len, found))), np.float32)
        for row, values in zip(padded, found, strict=True):
            row[: len(values)] = values
        batch = {name: torch.from_numpy(padded)}
        if _HEARD in examples[0]:
            heard = np.array([one[_HEARD] for one in examples])
            mask = np.arange(padded.shape[1]) < heard[:, None]  # (batch, frames)
            batch[_MASK] = torch.from_numpy(mask.astype(np.int64))
        return batch

    def blank(self, count: int, size: int, configuration: Any) -> dict[str, torch.Tensor]:
        """Zeros, with the mask of a waveform whose model reads one."""
        import torch

        bins: Any = getattr(configuration, "num_mel_bins", None)
        if hasattr(configuration, "max_source_positions"):
            return {FEATURES: torch.zeros(count, bins, size)}
        if bins is not None:
            return {VALUES: torch.zeros(count, size, bins)}
        batch = {VALUES: torch.zeros(count, size)}
        if reads_mask(configuration.to_dict()):
            batch[_MASK] = torch.zeros(count, size, dtype=torch.long)
        return batch


def _encoded(row: str, content: bytes, processor: FeatureExtractor, most: int) -> Example:
    import numpy as np

    form = processor.form
    samples = most if form.frames is None else form.frames * form.hop + form.rate
    recording = decoded(content)
    waveform = resampled(recording, form.rate, samples)
    least = ceil(_SHORTEST_SECONDS * form.rate)
    waveform = np.pad(waveform, (0, max(0, least - len(waveform))))
    made = processor.extractor(waveform, sampling_rate=form.rate, return_tensors="np")
    values = np.ascontiguousarray(made[form.name][0], dtype=np.float32)
    shape = form.shape if form.bins else waveform.shape
    if values.shape != shape or not np.isfinite(values).all():
        raise ValueError(
            f"{row}: processed to {values.shape} numbers, where {shape} finite ones were planned; "
            "allowed: a feature extractor that makes what its preprocessor_config.json says"
        )
    heard = {_HEARD: len(values)} if processor.is_masked else {}
    if processor.is_padded:
        values = np.pad(values, (0, most - len(values)))
    return {form.name: values} | heard | {_LEFT_OUT: _left_out(recording, form, most)}


def _left_out(recording: Recording, form: Form, most: int) -> int:
    """How many frames of a recording are beyond the most that an example has."""
    samples = ceil(len(recording.samples) * form.rate / recording.rate)
    return max(0, samples // form.hop - form.frames if form.frames else samples - most)


def _values(example: Example) -> tuple[str, Any]:
    """The values of an example, with what the model calls them."""
    counts = (_HEARD, _LEFT_OUT)
    return next((name, value) for name, value in example.items() if name not in counts)


def _processor(settings: Mapping[str, Any], configuration: Mapping[str, Any]) -> Processor:
    """All that decides an encoding."""
    return {
        "settings": dict(settings),
        "model_type": configuration.get("model_type"),
        "is_padded": padding_reason(configuration) is not None,
        "is_masked": reads_mask(configuration),
    }


def _configuration(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / _CONFIGURATION_FILE).read_text(encoding="utf-8"))
    return found


def _numbers(configuration: Mapping[str, Any], key: str) -> list[int]:
    found = configuration.get(key)
    return list(map(int, found)) if isinstance(found, list | tuple) else _CONVOLUTIONS[key]


def _known(configuration: Mapping[str, Any], key: str) -> int:
    found = configuration.get(key)
    return found if isinstance(found, int) else _PATCHES[key]
