"""Files of pictures as a model sees them, against the library's own conversion and by hand."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from kinds.inputs.duplicates import Match
from kinds.inputs.images import Images, pair_of, size_of
from kinds.inputs.pictures import Looks, PictureError, decoded, is_picture, picture_matches
from tests.models.pictures import PROCESSOR, drawn, encoded


def pixels(content: bytes, channels: int = 3) -> list[int]:
    return np.asarray(decoded(content, channels)).ravel().tolist()


def with_orientation(picture: Image.Image, value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(picture, exif=exif)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_what_the_library_s_processors_make_of_it(mode: str) -> None:
    from transformers.image_transforms import convert_to_rgb

    picture = drawn(3).convert(mode)
    content = encoded(picture, "TIFF")
    stored = Image.open(BytesIO(content))
    stored.load()
    found = decoded(content)
    assert (found.mode, found.size) == ("RGB", picture.size)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(convert_to_rgb(stored)))


def test_a_palette_with_a_transparent_colour_keeps_its_colours() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    assert pixels(encoded(picture, transparency=0)) == [10, 20, 30, 200, 100, 50]


def test_grey_values_of_16_bits_are_scaled_and_not_cut_off() -> None:
    values = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    content = encoded(Image.fromarray(values))
    assert pixels(content, 1) == [0, 1, 128, 255]
    assert pixels(content) == [0] * 3 + [1] * 3 + [128] * 3 + [255] * 3


def test_floats_have_no_agreed_range() -> None:
    content = encoded(Image.fromarray(np.ones((2, 2), dtype=np.float32)), "TIFF")
    with pytest.raises(PictureError, match="its values are floats"):
        decoded(content)


ORIENTATIONS: dict[int, Callable[[Image.Image], Image.Image]] = {
    1: lambda one: one,
    3: lambda one: one.transpose(Image.Transpose.ROTATE_180),
    6: lambda one: one.transpose(Image.Transpose.ROTATE_270),
    8: lambda one: one.transpose(Image.Transpose.ROTATE_90),
}


@pytest.mark.parametrize("value", ORIENTATIONS)
def test_the_orientation_that_a_camera_notes_is_applied(value: int) -> None:
    picture = drawn(4)
    expected = np.asarray(ORIENTATIONS[value](picture))
    np.testing.assert_array_equal(np.asarray(decoded(with_orientation(picture, value))), expected)


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF"])
def test_of_several_frames_the_first_counts(form: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    assert Image.open(BytesIO(content)).n_frames == 2  # type: ignore[attr-defined]
    assert pixels(content) == [255, 0, 0] * 16


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF"])
def test_a_file_that_was_cut_off_is_no_picture(form: str) -> None:
    content = encoded(drawn(5).convert("P" if form == "GIF" else "RGB"), form)
    cut = content[: len(content) // 2]
    assert is_picture(cut)  # its first bytes are fine
    with pytest.raises(PictureError, match="no whole picture: "):
        decoded(cut)


@pytest.mark.parametrize("content", [b"", b"file_name,label\n", b"\xff\xd8 no JPEG"])
def test_other_bytes_are_no_picture(content: bytes) -> None:
    assert not is_picture(content)
    with pytest.raises(PictureError):
        decoded(content)


def test_files_that_cannot_be_decoded_are_named() -> None:
    whole = encoded(drawn(0), "JPEG")
    rows = pa.table({"id": ["a.jpg", "cat/b.jpg"], "image": [whole, whole[:300]]})
    (problem,) = Images().problems(rows)
    assert problem.startswith("1 images: cat/b.jpg: no whole picture: ")
    assert problem.endswith("allowed: whole files, or drop: {image: [...]} with these names")


def test_duplicates_are_found_whatever_file_they_stand_in() -> None:
    one, other = drawn(6), drawn(7)
    near = Image.fromarray(np.clip(np.asarray(one).astype(int) + 3, 0, 255).astype(np.uint8))
    first = Looks([encoded(other), encoded(one)])
    second = Looks([encoded(one, "BMP"), encoded(near), encoded(drawn(8))])
    found = picture_matches(first, second)
    assert found[0] == Match(1, 0, 1.0, exact=True)
    assert [(match.first, match.second, match.exact) for match in found[1:]] == [(1, 1, False)]


SIZES = [
    ({"size": {"height": 32, "width": 24}}, (32, 24)),
    ({"size": 224}, (224, 224)),
    ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, (224, 224)),
    ({"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224}, (224, 224)),
    (
        {"size": {"shortest_edge": 256}, "crop_size": {"height": 96, "width": 64}}
        | {"do_center_crop": True},
        (96, 64),
    ),
    ({"size": {"shortest_edge": 224}, "image_processor_type": "CLIPImageProcessor"}, None),
    ({"size": {"shortest_edge": 224, "longest_edge": 400}}, None),
    ({"size": {"height": 32, "width": 32}, "do_resize": False}, None),
    ({}, None),
]


@pytest.mark.parametrize(("settings", "size"), SIZES, ids=str)
def test_the_size_that_a_processor_makes_is_read_of_its_settings(
    settings: dict[str, object], size: tuple[int, int] | None
) -> None:
    assert size_of(settings) == size


def test_the_size_is_what_the_library_s_processor_makes() -> None:
    from transformers import AutoImageProcessor  # noqa: F401
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    found = ViTImageProcessorPil(**PROCESSOR)(images=[drawn(1)], return_tensors="np")
    assert found["pixel_values"][0].shape[1:] == size_of(PROCESSOR)


@pytest.mark.parametrize("size", ["224", 0, [1, 2, 3], {"height": 3}, None, True and 1.5])
def test_what_is_no_size_is_none(size: object) -> None:
    assert pair_of(size) is None
