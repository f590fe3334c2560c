"""What an example lacks of its row, where that is longer than the length: counted by hand."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from transformers import AutoTokenizer

from kinds.registry import kind_named
from tests.kinds.writing import write_writer
from tests.models.sounds import RATE, SOUNDS, encoded, tone

WORD, LENGTH = "film ", 6
"""One token each; `<s>` or `</s>` stands about them."""


def lacking(kind: str, folder: Path, max_length: int, **columns: list[Any]) -> list[int]:
    """What the examples of these rows lack."""
    inputs = kind_named(kind).inputs
    ids = [str(number) for number in range(len(next(iter(columns.values()))))]
    rows = pa.table({"id": ids, **columns})
    found = inputs.encode(rows, inputs.processor(folder), max_length)
    schema = inputs.encoded(found[0])
    assert all(list(one) == schema.names for one in found)
    return [inputs.left_out(one) for one in found]


@pytest.mark.parametrize("kind", ["text-classification", "seq2seq"])
def test_a_text_lacks_the_tokens_beyond_the_length(kind: str, tmp_path: Path) -> None:
    """One special token stands with them: a text of five words is whole."""
    folder, inputs = write_writer(tmp_path / "writer", "t5"), kind_named(kind).inputs
    column = inputs.schema().names[0]
    texts = [WORD * count for count in (1, LENGTH - 1, LENGTH, 30)]
    assert lacking(kind, folder, LENGTH, **{column: texts}) == [0, 0, 1, 30 + 1 - LENGTH]


def test_a_pair_lacks_the_tokens_of_both_texts(tmp_path: Path) -> None:
    folder = write_writer(tmp_path / "writer", "llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    special = tokenizer.num_special_tokens_to_add(pair=True)
    pairs = {"text": [WORD, WORD * 4], "text_pair": [WORD * 2, WORD * 9]}
    found = lacking("text-classification", folder, LENGTH + special, **pairs)
    assert found == [0, 4 + 9 - LENGTH]


@pytest.mark.parametrize(
    ("sounds", "seconds", "frames"),
    [
        ("wav2vec2", 1, RATE // 4),
        ("wav2vec2 layered", 1, RATE // 4),
        ("whisper", 1, 25),  # a hundred a second
        ("audio-spectrogram-transformer", 0.32, 25),
    ],
)
def test_a_recording_lacks_the_frames_beyond_the_length(
    sounds: str, seconds: float, frames: int, tmp_path: Path
) -> None:
    """Of a quarter of a second; recordings of the length and shorter ones are whole."""
    folder, most = SOUNDS[sounds].write(tmp_path / "sounds"), 32 if seconds < 1 else RATE
    lengths = (seconds / 2, seconds, seconds + 0.25)
    files = [encoded(tone(200, length)) for length in lengths]
    assert lacking("audio-classification", folder, most, audio=files) == [0, 0, frames]
