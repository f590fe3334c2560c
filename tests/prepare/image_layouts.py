"""Tiny models of images, written as their public repositories hold them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.models.pictures import PROCESSOR, VIT

_SIZES = {key: value for key, value in VIT.items() if key != "model_type"}
_CROPPED = {"do_center_crop": True, "crop_size": {"height": 32, "width": 32}}


@dataclass(frozen=True)
class ImageLayout:
    """A model's sizes, and what its preprocessor_config.json says beside the usual."""

    sizes: dict[str, Any]
    processor: dict[str, Any]
    head: str | None = None
    """The auto class that it was published with, where that is no classifier."""

    def write(self, folder: Path, model_type: str) -> Path:
        """A checkpoint that was trained on seven labels, or on none."""
        import transformers

        from finegrid.models.discovery import class_of

        config = transformers.AutoConfig.for_model(model_type, num_labels=7, **self.sizes)
        auto: Any = getattr(transformers, self.head or "AutoModelForImageClassification")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = class_of(config, auto)(config)
        model.save_pretrained(folder)
        content = json.dumps(PROCESSOR | self.processor)
        (folder / "preprocessor_config.json").write_text(content)
        return folder


IMAGE_LAYOUTS: dict[str, ImageLayout] = {
    # As google/vit-base-patch16-224-in21k: a body with a pooler that no classifier reads.
    "vit": ImageLayout(_SIZES, {"image_processor_type": "ViTImageProcessor"}, "AutoModel"),
    "deit": ImageLayout(
        _SIZES,
        {"image_processor_type": "DeiTImageProcessor", "size": {"height": 36, "width": 36}}
        | _CROPPED,
    ),
    # An old file, which names a class that is gone and one number for a size.
    "beit": ImageLayout(
        _SIZES, {"feature_extractor_type": "BeitFeatureExtractor", "size": 32, "crop_size": 32}
    ),
    # It interpolates its positions: its images need not have the size of its configuration.
    "dinov2": ImageLayout(
        {key: value for key, value in _SIZES.items() if key != "intermediate_size"}
        | {"image_size": 56, "patch_size": 8},
        {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 40}} | _CROPPED,
        "AutoModel",
    ),
    "swin": ImageLayout(
        {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4}
        | {"image_size": 32, "patch_size": 4},
        {"image_processor_type": "ViTImageProcessor"},
    ),
    "convnext": ImageLayout(
        {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 1, 1]},
        {"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875}
        | {"size": {"shortest_edge": 32}},
    ),
}
