"""How the library reads a tokenizer's file, held against the file itself."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

from finegrid.prepare.tokenizer_file import TokenizerError, check_reading

TEXT = "The Film was GREAT"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cased word-piece tokenizer and a configuration of BERT's, without settings."""
    letters = [f"{sign}{letter}" for letter in map(chr, range(33, 127)) for sign in ("", "##")]
    words = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters])
    vocabulary = {word: at for at, word in enumerate(words)}
    made = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))  # noqa: S106
    made.normalizer = normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 200}))
    return tmp_path


def is_read_as_it_stands(folder: Path) -> bool:
    read = AutoTokenizer.from_pretrained(folder)(TEXT, add_special_tokens=False)["input_ids"]
    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return bool(read == own.encode(TEXT, add_special_tokens=False).ids)


def test_a_file_that_the_library_reads_in_lower_case_is_refused(folder: Path) -> None:
    """transformers takes BERT's own rules where no settings say otherwise."""
    assert not is_read_as_it_stands(folder)
    with pytest.raises(TokenizerError, match=r"^tokenizer.json: .*tokenizer_config.json"):
        check_reading(folder)


@pytest.mark.parametrize(
    "settings", [{"do_lower_case": False}, {"tokenizer_class": "PreTrainedTokenizerFast"}]
)
def test_settings_decide(folder: Path, settings: dict[str, object]) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert is_read_as_it_stands(folder)
    check_reading(folder)


def test_a_file_that_is_read_as_it_stands_needs_no_settings(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["normalizer"]["lowercase"] = True
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert is_read_as_it_stands(folder)
    check_reading(folder)


def test_a_tokenizer_of_other_files_is_left_to_the_library(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    check_reading(tmp_path)


def test_a_file_that_is_no_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": {"type": "Telepathy"}}')
    with pytest.raises(TokenizerError, match=r"^tokenizer.json cannot be read: "):
        check_reading(folder)
