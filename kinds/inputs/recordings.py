"""Recordings: the bytes of audio files, decoded in one way for every model. libsndfile decodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from io import BytesIO
from math import ceil, gcd
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kinds.inputs.duplicates import Match

RECORDING_DEFINITION = (
    "exact: equal samples of the decoded recordings at an equal rate, mixed to one channel, "
    "whatever file they stand in; near duplicates are not looked for in recordings"
)
_BLOCK = 1 << 16
"""Samples of each channel that are decoded at a time."""
_LONGEST_SECONDS = 3600
"""More is no example of one class, and fills a memory."""
_SILENT = 2.0**-13
"""Between the lowest and the highest sample: what dither makes of nothing in 16 bits."""
_OPEN_ENDED = 0x7FFFF000
"""From here on, the size in a header of WAV is what programs write that do not know it."""
_SAMPLES: Mapping[bytes, tuple[Literal["little", "big"], bytes]] = {
    b"RIFF": ("little", b"data"),
    b"FORM": ("big", b"SSND"),
}
"""How a file begins -> the order of bytes in its sizes, and its chunk of samples."""
_PAGE, _PAGE_HEADER, _PAGE_FLAGS, _LAST_PAGE = b"OggS", 27, 5, 4
"""A page of Ogg: how it begins, bytes before its table of sizes, the place of its flags, and the
flag of one that no other follows."""


class RecordingError(ValueError):
    """Bytes that are no recording, or none that can be learnt from: one line with the reason."""


class Recording(NamedTuple):
    """Samples of one channel."""

    samples: NDArray[Any]
    """(samples,) in 32 bits, most often from -1 to 1."""
    rate: int
    """Samples a second."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate


def decoded(content: bytes) -> Recording:
    """The recording in a file's bytes; several channels become their mean.

    Raises RecordingError for what cannot be decoded to its end, and for silence.
    """
    import numpy as np

    blocks, rate, promised = _blocks(content)
    samples = np.concatenate([np.zeros(0, np.float32), *blocks])
    if len(samples) < promised or _is_cut_off(content):
        raise RecordingError(f"cut off: {len(samples)} samples are there; allowed: whole files")
    if not np.isfinite(samples).all():
        raise RecordingError("some samples are no finite numbers")
    if not len(samples):
        raise RecordingError("no samples; allowed: 1 or more")
    if samples.max() - samples.min() <= _SILENT:
        raise RecordingError("silence alone; allowed: some sound")
    return Recording(samples, rate)


def _blocks(content: bytes) -> tuple[list[NDArray[Any]], int, int]:
    """The samples of one channel, their rate, and how many of them the file promises."""
    import numpy as np
    import soundfile

    blocks: list[NDArray[Any]] = []
    count = 0
    try:
        with soundfile.SoundFile(BytesIO(content)) as file:
            rate, promised = file.samplerate, file.frames
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block.mean(axis=1, dtype=np.float32))
                if (count := count + len(block)) > _LONGEST_SECONDS * rate:
                    raise RecordingError(f"too long; allowed: at most {_LONGEST_SECONDS} s")
    except RecordingError:
        raise
    except Exception as error:  # whatever a decoder raises for such bytes
        line = " ".join(str(error).split())
        raise RecordingError(f"no whole recording: {line}") from error
    return blocks, rate, promised


def _is_cut_off(content: bytes) -> bool:
    """Whether the end is missing, in formats whose decoder passes over that."""
    if content[:4] in _SAMPLES:
        return _lacks_samples(content)
    return content.startswith(_PAGE) and _lacks_pages(content)


def _lacks_pages(content: bytes) -> bool:
    """Whether the last page of Ogg is not the one that ends it, or not whole."""
    page = content[content.rfind(_PAGE) :]
    if len(page) < _PAGE_HEADER or not page[_PAGE_FLAGS] & _LAST_PAGE:
        return True
    sizes = page[_PAGE_HEADER : _PAGE_HEADER + page[_PAGE_HEADER - 1]]
    return len(page) < _PAGE_HEADER + len(sizes) + sum(sizes)


def _lacks_samples(content: bytes) -> bool:
    """Whether a file of WAV or AIFF ends before its chunk of samples does."""
    order, chunk = _SAMPLES[content[:4]]
    at = 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], order)
        if content[at : at + 4] == chunk:
            return size < _OPEN_ENDED and at + 8 + size > len(content)
        at += 8 + size + size % 2
    return False


def is_recording(start: bytes) -> bool:
    """Whether bytes, or the first of them, begin as those of a recording that can be decoded."""
    import soundfile

    try:
        with soundfile.SoundFile(BytesIO(start)):
            return True
    except Exception:  # whatever a decoder raises for such bytes
        return False


def resampled(recording: Recording, rate: int, most: int) -> NDArray[Any]:
    """At the most so many samples (samples,) from the beginning on, at another rate in 32 bits.

    By a polyphase filter of scipy; one second more than is wanted goes into it, so that the cut
    does not show.
    """
    import numpy as np
    from scipy.signal import resample_poly

    samples, own = recording
    if own != rate:
        divisor = gcd(rate, own)
        wanted = samples[: ceil((most / rate + 1) * own)]
        samples = resample_poly(wanted, rate // divisor, own // divisor)
    return np.ascontiguousarray(samples[:most], dtype=np.float32)


def digests(contents: Iterable[bytes]) -> list[str]:
    """What is compared of recordings: hashes of their rates and samples."""
    found = []
    for content in contents:
        samples, rate = decoded(content)
        # adding 0 makes 0 of -0, which is equal and has other bytes
        text = f"{rate} ".encode() + (samples + 0).astype("<f4").tobytes()
        found.append(hashlib.sha256(text).hexdigest())
    return found


def recording_matches(first: list[str], second: list[str]) -> list[Match]:
    """The recordings of `second` with an exact duplicate in `first`, in their order."""
    from kinds.inputs.duplicates import Match

    known: dict[str, int] = {}
    for at, digest in enumerate(first):
        known.setdefault(digest, at)
    return [
        Match(known[digest], at, 1.0, exact=True)
        for at, digest in enumerate(second)
        if digest in known
    ]
