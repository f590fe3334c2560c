"""Pictures, folders of them, and a tiny ViT in the layout that real repositories have."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

VIT: dict[str, Any] = {
    "model_type": "vit",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
PROCESSOR: dict[str, Any] = {
    "do_normalize": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "resample": 2,
    "size": {"height": 32, "width": 32},
}


def drawn(number: int, mode: str = "RGB", size: tuple[int, int] = (40, 50)) -> Image.Image:
    """A picture of random pixels about a grey value of its own."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    draw = np.random.default_rng(number)
    values = draw.integers(0, 200, (size[1], size[0], channels)) + number % 50
    return Image.fromarray(values.astype(np.uint8).squeeze(), mode)


def encoded(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file with the picture."""
    stream = BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


PICTURES = [
    encoded(drawn(0)),
    encoded(drawn(1), "JPEG"),
    encoded(drawn(2, "L")),
    encoded(drawn(3, "RGBA", (20, 30))),
    encoded(drawn(4).convert("P"), "GIF"),
    encoded(drawn(5, "CMYK", (64, 33)), "JPEG"),
    encoded(drawn(6, size=(9, 9)), "BMP"),
    encoded(drawn(7), "WEBP"),
]


def tiny_vit(labels: int) -> nn.Module:
    """A tiny ViT with a head for so many labels, in evaluation mode."""
    from transformers import ViTConfig, ViTForImageClassification

    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = {key: value for key, value in VIT.items() if key != "model_type"}
        config = ViTConfig(num_labels=labels, hidden_dropout_prob=0.0, **options)
        model: nn.Module = ViTForImageClassification(config)
    return model.eval()


def write_vit(folder: Path, labels: int = 5, **processor: Any) -> Path:
    """The folder of a tiny ViT that was trained on other labels."""
    model: Any = tiny_vit(labels)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | processor))
    return folder


def write_photos(root: Path, files: Mapping[str, bytes] | None = None, each: int = 10) -> Path:
    """`<label>/<number>.jpg` of two labels that differ in colour, or the files that are given."""
    given = files or {
        f"{label}/{number}.jpg": encoded(coloured(colour, number), "JPEG")
        for label, colour in {"cat": (200, 60, 60), "dog": (60, 60, 200)}.items()
        for number in range(each)
    }
    for name, content in given.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def coloured(colour: tuple[int, int, int], number: int) -> Image.Image:
    """A noisy picture of a colour."""
    draw = np.random.default_rng([*colour, number])
    noise = draw.integers(-40, 40, (40 + number, 48, 3))
    return Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))
