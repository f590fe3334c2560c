"""Files of recordings as a model hears them, against the standard library, scipy and by hand."""

import wave
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from kinds.inputs.audio import Audio
from kinds.inputs.recordings import (
    Recording,
    RecordingError,
    decoded,
    digests,
    is_recording,
    recording_matches,
    resampled,
)
from tests.models.sounds import RECORDINGS, encoded, stereo, tone

SOUND = tone(200, 0.3)


def written(samples: NDArray[Any], width: int, channels: int = 1) -> bytes:
    """A file of the standard library's own writer."""
    stream = BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((channels, width, 8000, len(samples), "NONE", ""))
        file.writeframes(samples.tobytes())
    return stream.getvalue()


@pytest.mark.parametrize(("width", "kind"), [(2, "<i2"), (4, "<i4")])
def test_whole_numbers_are_shares_of_the_largest(width: int, kind: str) -> None:
    largest = 1 << (8 * width - 1)
    values = (SOUND * largest).astype(kind)
    found = decoded(written(values, width))
    assert found.rate == 8000
    np.testing.assert_allclose(found.samples, values / largest, atol=1e-7)


def test_eight_bits_have_no_sign() -> None:
    values = (SOUND * 128 + 128).astype(np.uint8)
    found = decoded(written(values, 1))
    np.testing.assert_allclose(found.samples, (values.astype(float) - 128) / 128, atol=1e-7)


def test_channels_become_their_mean() -> None:
    values = (stereo(SOUND) * 32768).astype("<i2")
    found = decoded(written(values, 2, 2))
    np.testing.assert_allclose(found.samples, values.mean(axis=1) / 32768, atol=1e-7)


@pytest.mark.parametrize(("form", "near"), [("FLAC", 1e-4), ("OGG", 0.1), ("MP3", 0.1)])
def test_a_compressed_file_holds_nearly_the_same(form: str, near: float) -> None:
    found = decoded(encoded(SOUND, form=form))
    assert found.rate == 8000
    assert abs(len(found.samples) - len(SOUND)) <= 1
    least = min(len(SOUND), len(found.samples))
    error = found.samples[:least] - SOUND[:least]
    assert np.sqrt((error**2).mean()) < near * np.sqrt((SOUND**2).mean())


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "AIFF"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_a_file_that_was_cut_off_is_no_recording(form: str, share: float) -> None:
    content = encoded(tone(200, 2), form=form)
    assert decoded(content).rate == 8000
    with pytest.raises(RecordingError):
        decoded(content[: int(share * len(content))])


def test_a_stream_that_does_not_know_its_length_is_whole() -> None:
    content = bytearray(encoded(SOUND))
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    assert len(decoded(bytes(content)).samples) == len(SOUND)


def with_nan() -> bytes:
    return encoded(np.where(np.arange(len(SOUND)) == 7, np.nan, SOUND), subtype="FLOAT")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no whole recording: "),
        (b"file_name,label\n" * 40, "no whole recording: "),
        (b"RIFF\0\0\0\0WAVEfmt ", "no whole recording: "),
        (encoded(np.zeros(0)), "no samples; allowed: 1 or more"),
        (encoded(np.zeros(8000)), "silence alone; allowed: some sound"),
        (encoded(np.full(8000, 0.25)), "silence alone"),
        (encoded(np.tile([2, 0, -2, 1], 2000) / 32768), "silence alone"),
        (with_nan(), "some samples are no finite numbers"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_nothing_can_be_learnt_from_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(RecordingError, match="^" + message.replace("(", r"\(")):
        decoded(content)


@pytest.mark.parametrize("number", range(len(RECORDINGS)))
def test_a_recording_is_told_by_its_first_bytes(number: int) -> None:
    assert is_recording(RECORDINGS[number][: 1 << 16])


@pytest.mark.parametrize("content", [b"", b"file_name,label\n", b"\x89PNG\r\n\x1a\n" + b"0" * 99])
def test_other_bytes_are_no_recording(content: bytes) -> None:
    assert not is_recording(content)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_a_tone_is_the_same_at_another_rate(rate: int) -> None:
    """Against the tone itself, away from the ends."""
    at = {one: np.arange(one) / one for one in (rate, 16000)}
    given, expected = (np.sin(2 * np.pi * 440 * at[one]) for one in (rate, 16000))
    found = resampled(Recording(given.astype(np.float32), rate), 16000, 16000)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[800:-800], expected[800:-800], atol=5e-3)


def test_what_is_above_the_new_rate_is_left_out() -> None:
    at = np.arange(44100) / 44100
    high = np.sin(2 * np.pi * 12000 * at).astype(np.float32)
    found = resampled(Recording(high, 44100), 16000, 16000)
    assert np.sqrt((found[800:-800] ** 2).mean()) < 0.01


def test_a_cut_is_the_beginning_of_the_whole() -> None:
    recording = Recording(tone(300, 4, 44100).astype(np.float32), 44100)
    whole = resampled(recording, 16000, 64000)
    np.testing.assert_allclose(resampled(recording, 16000, 8000), whole[:8000], atol=1e-6)


def test_duplicates_are_found_whatever_file_they_stand_in() -> None:
    one, other = encoded(SOUND), encoded(tone(300, 0.3))
    pcm = decoded(one).samples
    first = digests([other, one])
    second = digests([encoded(pcm, form="FLAC"), encoded(pcm[:-1]), encoded(pcm, 16000)])
    found = recording_matches(first, second)
    assert [(match.first, match.second, match.exact) for match in found] == [(1, 0, True)]


def test_files_that_cannot_be_decoded_are_named() -> None:
    whole = encoded(SOUND)
    rows = pa.table({"id": ["a.wav", "x/b.wav"], "audio": [whole, whole[:300]]})
    (problem,) = Audio().problems(rows)
    assert problem.startswith("1 recordings: x/b.wav: cut off: ")
    assert problem.endswith("allowed: whole files, or drop: {audio: [...]} with these names")


def test_rates_are_counted_and_lengths_told() -> None:
    facts = [Audio().examine(content).facts for content in RECORDINGS]
    (remark,) = Audio().remarks(facts)
    assert remark == (
        "8 recordings of 0.0 to 1.4 s: 1 at 2,000 Hz, 2 at 8,000 Hz, 1 at 11,025 Hz, "
        "2 at 16,000 Hz, 1 at 22,050 Hz, 1 at 44,100 Hz"
    )
