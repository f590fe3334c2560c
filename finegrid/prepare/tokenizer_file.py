"""What a tokenizer's files say of it before any library reads them. Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "tokenizer_config.json"
_ADDED_FILE = "added_tokens.json"
_WORDS_FILE, _TABLE_FILE = "vocab.txt", "vocab.json"
_SENTENCE_PIECES = ".model"
ALLOWED = f"{TOKENIZER_FILE}, {_WORDS_FILE}, {_TABLE_FILE} with merges.txt, or a *.model file"
_PROBE = "The Na\u00efve CAF\u00c9, 1,234  x\n\t{y} don't"
"""What rules of case, accents, spaces, digits and signs tell apart."""
_FIXED_TOKENS = {"BertProcessing": 2, "RobertaProcessing": 2}
"""Post-processors without a template -> the special tokens that each adds to a text."""


class TokenizerError(ValueError):
    """Files that hold no tokenizer, or one that cannot be read."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer's largest id, where its files tell, and the special tokens about every text."""

    largest_id: int | None
    special_tokens: int = 0


def read_tokenizer(files: Mapping[str, Path]) -> Tokenizer:
    """The tokenizer in these files, by their names. Raises TokenizerError."""
    added = [*_ids_of(_ADDED_FILE, files), *_settings_ids(files)]
    if TOKENIZER_FILE in files:
        content = _json(TOKENIZER_FILE, files)
        ids = [*_vocabulary_ids(content), *_added_ids(content), *added]
        return Tokenizer(max(ids, default=None), _special_tokens(content.get("post_processor")))
    if _WORDS_FILE in files:
        with files[_WORDS_FILE].open("rb") as lines:
            return Tokenizer(max([sum(1 for _ in lines) - 1, *added]))
    if _TABLE_FILE in files:
        return Tokenizer(max([*_ids_of(_TABLE_FILE, files), *added], default=None))
    if any(name.endswith(_SENTENCE_PIECES) for name in files):
        return Tokenizer(max(added, default=None))
    raise TokenizerError(f"no tokenizer; allowed: {ALLOWED}")


def check_reading(folder: Path) -> None:
    """Refuse a `tokenizer.json` without settings that the library reads as another tokenizer.

    It then takes the rules of the model's type in place of the file's, as lower case for BERT.
    Raises TokenizerError.
    """
    from tokenizers import Tokenizer as Rules
    from transformers import AutoTokenizer

    if not (folder / TOKENIZER_FILE).exists() or (folder / SETTINGS_FILE).exists():
        return
    try:
        own = Rules.from_file(str(folder / TOKENIZER_FILE))
    except Exception as error:  # the library has no type of its own for it
        raise TokenizerError(f"{TOKENIZER_FILE} cannot be read: {error}") from error
    own.no_truncation()
    own.no_padding()
    read = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    expected = own.encode(_PROBE, add_special_tokens=False).ids
    if read(_PROBE, add_special_tokens=False)["input_ids"] != expected:
        raise TokenizerError(
            f"{TOKENIZER_FILE}: transformers reads it as {type(read).__name__}, whose own rules "
            f"make other tokens of {_PROBE!r} than the file; allowed: {SETTINGS_FILE} beside it, "
            f'that of the model, or {{"tokenizer_class": "PreTrainedTokenizerFast"}} and its tokens'
        )


def _json(name: str, files: Mapping[str, Path]) -> dict[str, Any]:
    try:
        return dict(json.loads(files[name].read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TokenizerError(f"{name} cannot be read: {error}") from error


def _ids_of(name: str, files: Mapping[str, Path]) -> list[int]:
    """The ids of a file that maps each token to its own; none where there is no such file."""
    if name not in files:
        return []
    return [number for number in _json(name, files).values() if isinstance(number, int)]


def _settings_ids(files: Mapping[str, Path]) -> list[int]:
    """The ids of the tokens that the tokenizer's settings add."""
    settings = _json(SETTINGS_FILE, files) if SETTINGS_FILE in files else {}
    return [int(key) for key in settings.get("added_tokens_decoder") or {} if key.isdigit()]


def _vocabulary_ids(content: Mapping[str, Any]) -> list[int]:
    """The ids of the model's vocabulary: a table, or a list of pieces in the order of their ids."""
    table = (content.get("model") or {}).get("vocab") or []
    return list(table.values()) if isinstance(table, Mapping) else [len(table) - 1]


def _added_ids(content: Mapping[str, Any]) -> Iterator[int]:
    for token in content.get("added_tokens") or ():
        yield int(token["id"])


def _special_tokens(processor: Any) -> int:
    """The tokens that a post-processor puts about a single text."""
    if not isinstance(processor, Mapping):
        return 0
    if processor.get("type") == "Sequence":
        return sum(map(_special_tokens, processor.get("processors", ())))
    known = processor.get("special_tokens", {})
    parts = (part.get("SpecialToken") for part in processor.get("single", ()))
    named = [known.get(part["id"], {}).get("ids", [0]) for part in parts if part]
    return _FIXED_TOKENS.get(str(processor.get("type")), 0) + sum(map(len, named))
