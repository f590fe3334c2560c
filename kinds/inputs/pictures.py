"""Pictures: the bytes of image files, decoded in one way for every model. Pillow decodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from kinds.inputs.duplicates import Match

PICTURE_DEFINITION = (
    "exact: equal pixels of the decoded pictures, whatever file they stand in; near: a Pearson "
    "correlation of at least 0.99 of the pictures in grey, at 32 x 32 pixels"
)
MODES = {1: "L", 3: "RGB"}
"""Channels that a model reads -> what Pillow calls them."""
_THUMBNAIL = (32, 32)
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")
"""Modes of grey values of 16 bits; Pillow reads some of them as 32."""
_DEEPEST, _EIGHT_BITS = (1 << 16) - 1, 255


class PictureError(ValueError):
    """Bytes that are no picture, or one that has no agreed meaning: one line with the reason."""


def decoded(content: bytes, channels: int = 3) -> Image:
    """The picture in a file's bytes, upright, in grey (1 channel) or in RGB (3).

    Of several frames it is the first. The orientation that a camera notes in EXIF is applied. An
    alpha channel is left out, as the library's own `convert_to_rgb` does; grey values of 16 bits
    are scaled to 8. Raises PictureError.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(content)) as opened:
            opened.load()  # a file that was cut off opens all the same
            upright = ImageOps.exif_transpose(opened)
            return _of_eight_bits(upright).convert(MODES[channels])
    except Image.DecompressionBombError as error:
        raise PictureError(f"{error}; allowed: smaller ones") from error
    except PictureError:
        raise
    except Exception as error:  # whatever a decoder raises for such bytes
        raise PictureError(f"no whole picture: {' '.join(str(error).split())}") from error


def is_picture(start: bytes) -> bool:
    """Whether bytes, or the first of them, begin as those of a picture that can be decoded."""
    from PIL import Image

    try:
        with Image.open(BytesIO(start)):
            return True
    except Exception:  # whatever a decoder raises for such bytes
        return False


def _of_eight_bits(picture: Image) -> Image:
    """The picture with values from 0 to 255, which Pillow would cut off and not scale."""
    import numpy as np
    from PIL import Image

    if picture.mode == "F":
        raise PictureError("its values are floats, of no agreed range; allowed: 8 or 16 bits")
    if picture.mode not in _DEEP:
        return picture
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > _DEEPEST:
        raise PictureError("its values have more than 16 bits; allowed: 8 or 16 bits")
    scaled = (values * _EIGHT_BITS + _DEEPEST // 2) // _DEEPEST
    return Image.fromarray(scaled.astype(np.uint8))


class Looks:
    """What is compared of pictures: hashes of their pixels, and small grey copies."""

    def __init__(self, contents: Iterable[bytes]) -> None:
        import numpy as np

        self.digests: list[str] = []
        small: list[Any] = []
        for content in contents:
            picture = decoded(content)
            pixels = f"{picture.size}".encode() + picture.tobytes()
            self.digests.append(hashlib.sha256(pixels).hexdigest())
            small.append(np.asarray(picture.convert("L").resize(_THUMBNAIL)).ravel())
        self.thumbnails: NDArray[Any] = np.array(small, dtype=np.float32)


def picture_matches(first: Looks, second: Looks) -> list[Match]:
    """The pictures of `second` with an exact or a near duplicate in `first`, in their order."""
    from dataclasses import replace

    from kinds.inputs.duplicates import Match, image_matches

    known: dict[str, int] = {}
    for at, digest in enumerate(first.digests):
        known.setdefault(digest, at)
    found = {
        at: Match(known[digest], at, 1.0, exact=True)
        for at, digest in enumerate(second.digests)
        if digest in known
    }
    near = image_matches(first.thumbnails, second.thumbnails)
    alike = {one.second: replace(one, exact=False) for one in near if one.second not in found}
    return [one for _, one in sorted((found | alike).items())]
