"""What a tokenizer makes of texts that it cannot hold: counted by hand, and by its own words."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from transformers import AutoTokenizer

from kinds.registry import kind_named
from tests.kinds.writing import write_writer
from tests.models.texts import WORDS

LENGTH, END = 12, "</s>"
_COLUMN = {"text-classification": "text", "token-classification": "tokens"}


def made(kind: str, folder: Path, **columns: list[Any]) -> Any:
    """The kind, what encodes, and the examples and targets of the rows."""
    found = kind_named(kind)
    ids = [str(number) for number in range(len(next(iter(columns.values()))))]
    rows = pa.table({"id": ids, **columns})
    processor = found.inputs.processor(folder)
    inputs = found.inputs.encode(rows, processor, LENGTH)
    targets = found.output.encode(rows, inputs, processor, LENGTH) if len(columns) > 1 else []
    return found, processor, inputs, targets


@pytest.mark.parametrize("kind", _COLUMN)
@pytest.mark.parametrize("model_type", ["llama", "t5"])
def test_words_that_the_vocabulary_lacks_are_counted(
    kind: str, model_type: str, tmp_path: Path
) -> None:
    folder = write_writer(tmp_path / "writer", model_type)
    texts = ["the film was great", "the movie was grand", "un film ennuyeux"]
    values = [text.split() for text in texts] if "token" in kind else texts
    found, processor, inputs, _ = made(kind, folder, **{_COLUMN[kind]: values})
    expected = [sum(word not in WORDS for word in text.split()) for text in texts]
    assert expected == [0, 2, 2]
    assert [found.inputs.unknown(one, processor) for one in inputs] == expected


def test_a_token_that_ends_texts_is_no_unknown_one(tmp_path: Path) -> None:
    """As of GPT-2, whose one special token is named for both."""
    folder = write_writer(tmp_path / "writer", "gpt2", unk_token=END)
    assert AutoTokenizer.from_pretrained(folder).unk_token == END
    found, processor, inputs, _ = made("text-classification", folder, text=["the film </s>"])
    assert found.inputs.unknown(inputs[0], processor) == 0


@pytest.mark.parametrize(("kind", "asks"), [("causal-lm", "prompt"), ("seq2seq", "source")])
@pytest.mark.parametrize(
    ("target", "changes"),
    [
        ("the film was warm", False),
        ("  the film was warm\n", False),  # exact_match reads both without the blanks about them
        ("the film was tepid", True),
        ("the film </s>", True),  # an end that a user has written: no text that is written has it
        ("the film was warm " * 9, False),  # cut: that is counted apart
    ],
)
def test_targets_that_no_written_text_can_equal(
    kind: str, asks: str, target: str, changes: bool, tmp_path: Path
) -> None:
    folder = write_writer(tmp_path / "writer", "llama" if kind == "causal-lm" else "t5")
    columns = {asks: ["the plot was dull"], "target": [target]}
    found, processor, inputs, targets = made(kind, folder, **columns)
    lacks = found.inputs.left_out(inputs[0]) or found.output.left_out(targets[0])
    assert (not lacks and found.output.is_altered(targets[0], processor)) == changes
