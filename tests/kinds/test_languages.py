"""Tokenizers of several languages: what a model is given to begin with, as the library does it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    MBart50Tokenizer,
    MBartTokenizer,
    NllbTokenizer,
)

from kinds.contract import Kind
from kinds.registry import kind_named
from tests.methods.architectures import SEQ2SEQ

PIECES = ["▁the", "▁film", "▁plot", "▁was", "▁dull"]
TEXTS, TARGETS = ["the film", "the plot was dull"], ["film was dull", "plot"]
CODES = {"nllb": ("deu_Latn", "eng_Latn"), "mbart50": ("de_DE", "en_XX")}
KEYS = ("source", "target")


def tokenizer(name: str) -> Any:
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    if name == "nllb":
        return NllbTokenizer(vocab={one: at for at, one in enumerate(special + PIECES)}, merges=[])
    kind: Any = MBart50Tokenizer if name == "mbart50" else MBartTokenizer
    return kind(vocab=[(one, 0.0) for one in special + PIECES])


def write(folder: Path, name: str) -> Path:
    """A tiny model that translates between languages, with its tokenizer."""
    found = tokenizer(name)
    found.save_pretrained(folder)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    model_type = "m2m_100" if name == "nllb" else "mbart"
    config = AutoConfig.for_model(model_type, vocab_size=len(found), **SEQ2SEQ, **ids)
    config.save_pretrained(folder)
    return folder


def said(name: str) -> dict[str, Any]:
    return dict(zip(KEYS, CODES[name], strict=True))


def encoded(name: str, folder: Path) -> tuple[Kind, list[Any], list[Any]]:
    """The kind, and the sources and targets as the model reads them."""
    kind = kind_named("seq2seq", {"languages": said(name)})
    processor = kind.inputs.processor(folder)
    rows = pa.table({"id": ["0", "1"], "source": TEXTS, "target": TARGETS})
    inputs = kind.inputs.encode(rows, processor, 16)
    return kind, inputs, kind.output.encode(rows, inputs, processor, 16)


@pytest.mark.parametrize("name", CODES)
def test_sources_and_targets_have_the_tokens_of_their_languages(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "model", name)
    _, inputs, targets = encoded(name, folder)
    source, target = CODES[name]
    theirs = AutoTokenizer.from_pretrained(folder, src_lang=source, tgt_lang=target)
    expected = theirs(TEXTS, text_target=TARGETS)
    assert [one["input_ids"] for one in inputs] == expected["input_ids"]
    assert [one["labels"] for one in targets] == expected["labels"]
    first = [theirs.convert_ids_to_tokens(one["labels"][0]) for one in targets]
    assert first == [target] * 2
    assert theirs.convert_ids_to_tokens(inputs[0]["input_ids"][0]) == source


@pytest.mark.parametrize("name", CODES)
def test_a_model_begins_what_it_writes_with_the_language(name: str, tmp_path: Path) -> None:
    """As by the library's `forced_bos_token_id`; the language is no token of the text."""
    folder, count = write(tmp_path / "model", name), 5
    options: Any = {"languages": said(name), "decoding": {"max_new_tokens": count}}
    kind = kind_named("seq2seq", options)
    processor = kind.inputs.processor(folder)
    torch.manual_seed(0)
    model: Any = AutoModelForSeq2SeqLM.from_config(AutoConfig.from_pretrained(folder)).eval()
    ids = {"input_ids": torch.tensor([[5, 6, 7, 2]]), "attention_mask": torch.ones(1, 4).long()}
    first = processor.tokenizer.convert_tokens_to_ids(CODES[name][1])
    model.generation_config.forced_eos_token_id = None  # some have an end at the last place
    expected = model.generate(**ids, forced_bos_token_id=first, max_new_tokens=count + 1)
    assert expected[0, 1] == first
    (row,) = kind.output.write(model, ids, processor)
    written = expected[0, 2:].tolist()
    ended = 2 in written
    assert row["tokens"] == (written.index(2) + 1 if ended else count)
    assert row["end"] == ("token" if ended else "length")
    text = processor.tokenizer.decode(written[: row["tokens"] - ended], skip_special_tokens=True)
    assert row["text"] == text


@pytest.mark.parametrize("name", CODES)
def test_what_a_decoder_reads_is_what_the_library_makes_of_labels(
    name: str, tmp_path: Path
) -> None:
    """The loss of the library's own forward pass, with targets of unlike lengths."""
    folder = write(tmp_path / "model", name)
    kind, inputs, targets = encoded(name, folder)
    labels = kind.output.collate(targets)
    torch.manual_seed(0)
    model: Any = AutoModelForSeq2SeqLM.from_config(AutoConfig.from_pretrained(folder)).eval()
    batch: Any = type("B", (), {"inputs": kind.inputs.collate(inputs, {"input_ids": 1})})
    batch.targets = labels
    with torch.no_grad():
        expected = model(**batch.inputs, labels=labels["labels"]).loss
        found = kind.output.loss(model, batch)
    torch.testing.assert_close(found / sum(map(kind.output.weight, targets)), expected)


@pytest.mark.parametrize(
    ("name", "languages", "message"),
    [
        ("nllb", None, r"languages: NllbTokenizer begins texts with their language; allowed: "),
        ("nllb", {"source": "deu_Latn", "target": "english"}, "languages.target: 'english' is no "),
        ("mbart50", {"source": "german", "target": "en_XX"}, "languages.source: 'german' is no "),
        ("mbart", {"source": "de_DE", "target": "en_XX"}, "writes the language behind a text; "),
    ],
)
def test_a_language_that_is_missing_or_not_known_is_one_message(
    name: str, languages: Any, message: str, tmp_path: Path
) -> None:
    kind = kind_named("seq2seq", {"languages": languages})
    with pytest.raises(ValueError, match=message):
        kind.inputs.processor(write(tmp_path / "model", name))
