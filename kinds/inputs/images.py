"""Images, as a model's own image processor resizes and normalises them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from finegrid.models.anatomy import Reads
from kinds.contract import Examined, Example, Unit
from kinds.inputs.pictures import (
    MODES,
    PICTURE_DEFINITION,
    Looks,
    PictureError,
    decoded,
    is_picture,
    picture_matches,
)
from kinds.inputs.whole_files import WholeFiles, files_of

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from PIL.Image import Image

    from finegrid.models.anatomy import Anatomy
    from finegrid.records.encoded import Processor
    from finegrid.records.specification import Model
    from kinds.inputs.duplicates import Comparison

_VALUES = "pixel_values"
_CONFIGURATION_FILE = "config.json"
_CHANNELS = "num_channels"
_ENTRIES = ("model_type", _CHANNELS)
"""Entries of a configuration that decide the class of the processor, and what it is given."""
_SHORTEST, _SQUARES = "shortest_edge", ("crop_pct", "ConvNext")
"""The key of a size of which one edge is known, and the marks of processors that crop it square."""
_PIXEL_BYTES = 12
"""Of three channels in 32 bits, in the file that is mapped to memory."""
_LEAST_STRIDE = 2
"""Pixels between two vectors of a first block, for a model that says nothing of it."""


@dataclass(frozen=True)
class ImageProcessor:
    """A model's image processor, and what it is given."""

    processor: Any
    """Of transformers."""
    channels: int


@dataclass(frozen=True)
class Images(WholeFiles):
    """The bytes of an image file a row; all images have one size once they are processed."""

    modality: ClassVar[Reads] = "images"
    unit: ClassVar[Unit] = "pixel"
    packages: ClassVar[tuple[str, ...]] = ("pillow", "transformers")
    part: ClassVar[str | None] = "image_processor"
    column: ClassVar[str] = "image"
    noun: ClassVar[str] = "images"

    def compare(self) -> Comparison:
        """By equal pixels, and by the correlation of small copies."""
        from kinds.inputs.duplicates import Comparison

        return Comparison(
            PICTURE_DEFINITION,
            lambda rows: Looks(content for _, content in files_of(rows, self.column)),
            picture_matches,
        )

    def is_readable(self, start: bytes) -> bool:
        """Whether a picture begins so."""
        return is_picture(start)

    def examine(self, content: bytes) -> Examined:
        """Whether it can be decoded."""
        try:
            decoded(content)
        except PictureError as error:
            return Examined(str(error))
        return Examined()

    def unfit(self, model: Model, anatomy: Anatomy) -> str | None:
        """A processor of no one size, or of another than the model's."""
        if (channels := _channels(model.configuration)) not in MODES:
            allowed = ", ".join(map(str, MODES))
            return (
                f"{_CHANNELS}: {channels} of its configuration is not allowed; allowed: {allowed}"
            )
        found = size_of(model.processor)
        if found is None:
            return (
                "its preprocessor_config.json names no one size of images; allowed: a size of "
                "height and width, a crop_size, or a shortest_edge that is cropped to a square"
            )
        if anatomy.image_size is not None and found != anatomy.image_size:
            shown, own = ("{} x {}".format(*pair) for pair in (found, anatomy.image_size))
            return (
                f"its preprocessor_config.json makes images of {shown}, and it takes {own} pixels "
                "alone; allowed: the same in both"
            )
        if found[0] != found[1] and found != anatomy.image_size:
            return "its images are no squares; allowed: squares, or image_size in its configuration"
        return None

    def processor(self, folder: Path) -> ImageProcessor:
        """The image processor of the model in the folder, in the form that runs on Pillow alone.

        Raises ValueError where the library has none of that form.
        """
        from transformers import AutoImageProcessor

        found = AutoImageProcessor.from_pretrained(
            folder, backend="pil", trust_remote_code=False, local_files_only=True
        )
        if getattr(found, "backend", None) != "pil":
            raise ValueError(
                f"{type(found).__name__} has no form that runs on Pillow; allowed: a model whose "
                "image processor has one"
            )
        return ImageProcessor(found, _channels(_configuration(folder)))

    def planned(self, model: Model) -> Processor:
        """What the repository says of the processor, and what is read of its configuration."""
        entries: dict[str, Any] = _entries(model.configuration)
        return {"settings": dict(model.processor), "configuration": entries}

    def made_of(self, folder: Path) -> Processor:
        """The same, of the files."""
        from finegrid.models.processing import processor_settings

        files = {path.name: path for path in folder.iterdir()}
        settings = processor_settings(files, str(self.part))
        return {"settings": settings, "configuration": _entries(_configuration(folder))}

    def encode(self, rows: pa.Table, processor: ImageProcessor, max_length: int) -> list[Example]:
        """Pixel values (channels, height, width) in fp32 of each image by itself.

        `max_length` are the pixels of each. Raises ValueError for an image that comes out larger
        or smaller.
        """
        return [
            {_VALUES: _processed(row, decoded(content, processor.channels), processor, max_length)}
            for row, content in files_of(rows, self.column)
        ]

    def encoded(self, example: Example) -> pa.Schema:
        """Lists of fixed sizes: channels of rows of 32-bit floats."""
        import pyarrow as pa

        kind = pa.float32()
        for length in reversed(example[_VALUES].shape):
            kind = pa.list_(kind, length)
        return pa.schema([(_VALUES, kind)])

    def size(self, example: Example) -> int:
        """Its pixels, as they are processed."""
        height, width = example[_VALUES].shape[1:]
        return int(height * width)

    def longest(self, max_length: int, model: Model) -> int:
        """The pixels of every image. Raises ValueError where `unfit` would say why."""
        if (found := size_of(model.processor)) is None:
            raise ValueError(f"model {model.name!r} has no one size of images")
        return found[0] * found[1]

    def positions(self, units: int, model: Model) -> int:
        """The patches of the first block, and two more for each image: class and distillation."""
        pixels = self.longest(1, model)
        return units // pixels * (pixels // _stride(model.configuration) ** 2 + 2)

    def unit_bytes(self, model: Model) -> int:
        """Those of a pixel."""
        return _PIXEL_BYTES

    def collate(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """Pixel values (batch, channels, height, width)."""
        import numpy as np
        import torch

        return {_VALUES: torch.tensor(np.stack([one[_VALUES] for one in examples]))}

    def blank(self, count: int, size: int, configuration: Any) -> dict[str, torch.Tensor]:
        """Zeros (count, channels, height, width), square unless the configuration says otherwise.

        Raises ValueError for a number of pixels that is neither.
        """
        import torch

        own = pair_of(getattr(configuration, "image_size", None))
        side = isqrt(size)
        if own is not None and own[0] * own[1] == size:
            shape = own
        elif side * side == size:
            shape = (side, side)
        else:
            raise ValueError(f"{size} pixels are neither a square nor the model's image_size")
        channels = getattr(configuration, _CHANNELS, 3)
        return {_VALUES: torch.zeros(count, channels, *shape)}


def size_of(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of what a processor with these settings gives; None where they vary."""
    crops = settings.get("do_center_crop") and "crop_size" in settings
    found = settings.get("crop_size" if crops else "size")
    if isinstance(found, Mapping) and _SHORTEST in found and "longest_edge" not in found:
        is_square = crops or any(mark in str(settings) for mark in _SQUARES)
        return pair_of(found[_SHORTEST]) if is_square else None
    return pair_of(found) if settings.get("do_resize", True) or crops else None


def pair_of(size: Any) -> tuple[int, int] | None:
    """Height and width as a configuration may have them; None for what is no size."""
    if isinstance(size, Mapping):
        size = [size.get("height"), size.get("width")]
    values = [size, size] if isinstance(size, int) else size
    is_pair = isinstance(values, list | tuple) and len(values) == 2
    if not is_pair or not all(isinstance(one, int) and one > 0 for one in values):
        return None
    return values[0], values[1]


def _stride(configuration: Mapping[str, Any]) -> int:
    """The pixels between two vectors of the first block."""
    for key in ("patch_size", "strides", "patch_sizes"):
        found = configuration.get(key)
        first = found[0] if isinstance(found, list) and found else found
        if isinstance(first, int):
            return first
    return _LEAST_STRIDE


def _processed(row: str, picture: Image, processor: ImageProcessor, pixels: int) -> Any:
    import numpy as np

    found = processor.processor(images=[picture], return_tensors="np")[_VALUES][0]
    values = np.ascontiguousarray(found, dtype=np.float32)
    height, width = values.shape[-2:]
    if values.ndim != 3 or height * width != pixels:
        raise ValueError(
            f"{row}: processed to {tuple(values.shape)}, where {pixels} pixels were planned; "
            "allowed: a processor that makes images of one size"
        )
    return values


def _configuration(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / _CONFIGURATION_FILE).read_text(encoding="utf-8"))
    return found


def _entries(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return {key: configuration[key] for key in _ENTRIES if key in configuration}


def _channels(configuration: Mapping[str, Any]) -> Any:
    return configuration.get(_CHANNELS, 3)
