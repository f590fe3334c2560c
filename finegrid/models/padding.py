"""The id that pads a model's batches: one for its tokenizer, its configuration and its head.

Which id it is decides nothing else: the attention mask hides it, and no head looks for it. Nothing
here loads torch.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TOKENIZER_FILE = "tokenizer.json"
_NAMES_FILES = ("tokenizer_config.json", "special_tokens_map.json")
_INSTEAD = ("pad_token", "eos_token", "unk_token", "bos_token")
"""Special tokens that may pad where the configuration names none, in this order."""


def padding_problem(configuration: Mapping[str, Any]) -> str | None:
    """What is wrong with a configuration's `pad_token_id`, or None. Below 0 it names no token."""
    found, size = configuration.get("pad_token_id"), configuration.get("vocab_size")
    if found is None:
        return None
    if type(found) is not int:
        return f"{found!r} is no token's id; allowed: a whole number or null"
    if type(size) is int and found >= size:
        return f"{found} is beyond vocab_size {size}; allowed: 0 to {size - 1}, or null"
    return None


def padding_id(configuration: Mapping[str, Any], folder: Path) -> int:
    """The id of padding, for a whole configuration and the tokenizer's files in the folder.

    It is the configuration's, as some architectures count positions by it; else that of the
    tokenizer's padding, end, unknown or first token; else 0. Raises ValueError for a
    configuration's id that is none.
    """
    if problem := padding_problem(configuration):
        raise ValueError(f"config.json: pad_token_id {problem}")
    named = configuration.get("pad_token_id")
    if named is not None and named >= 0:
        return int(named)
    size = configuration.get("vocab_size")
    return next((one for one in _special_ids(folder) if size is None or one < size), 0)


def set_padding(config: Any, folder: Path) -> None:
    """Put the id of padding into a transformers configuration."""
    config.pad_token_id = padding_id(config.to_dict(), folder)


def _special_ids(folder: Path) -> Iterator[int]:
    tokens, file = _named(folder), folder / TOKENIZER_FILE
    if tokens and file.exists():
        tokenizer = _tokenizer(file)
        ids = (tokenizer.token_to_id(tokens[key]) for key in _INSTEAD if key in tokens)
        yield from (one for one in ids if one is not None)


def _named(folder: Path) -> dict[str, str]:
    """Role, such as `pad_token` -> the token that a tokenizer's files name for it."""
    found: dict[str, str] = {}
    for path in (folder / name for name in reversed(_NAMES_FILES)):
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for key in _INSTEAD:
            token = content.get(key)
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str):
                found[key] = text
    return found


def _tokenizer(file: Path) -> Any:
    from tokenizers import Tokenizer

    text = file.read_text(encoding="utf-8")
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # the library raises no narrower one
        raise ValueError(f"{file.name} holds no tokenizer: {error}") from error
