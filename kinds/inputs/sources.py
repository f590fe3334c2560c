"""A text that an encoder reads, to be turned into another one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from finegrid.records.base import Record
from kinds.inputs.text import Text, Tokenizer

_KEY = "languages"
_SHOWN = 5
Code = Annotated[str, Field(min_length=1)]


class Languages(Record):
    """The languages of sources and targets, by the codes of a tokenizer for several."""

    source: Code
    target: Code


@dataclass(frozen=True)
class SourceText(Text):
    """The text of an encoder; a batch is padded to its longest.

    A tokenizer for several languages puts the source's into its tokens, and begins a target with
    its own, which a model is given when it writes: M2M-100 (Fan et al. 2020, arXiv:2010.11125,
    section 4.1), mBART-50 and NLLB.
    """

    columns: ClassVar[tuple[str, ...]] = ("source",)
    optional: ClassVar[tuple[str, ...]] = ()

    languages: Languages | None = None

    def processor(self, folder: Path) -> Tokenizer:
        """The tokenizer of the model in the folder; one for several languages is set to these.

        Raises ValueError for one that is given none, or codes that it does not know.
        """
        found = super().processor(folder)
        if not hasattr(found.tokenizer, "set_tgt_lang_special_tokens"):
            return found
        if self.languages is None:
            raise ValueError(
                f"{_KEY}: {type(found.tokenizer).__name__} begins texts with their language; "
                f"allowed: {{source: ..., target: ...}} of {_codes(found.tokenizer)}"
            )
        return replace(found, starts=_set(found, self.languages))


def _set(named: Tokenizer, languages: Languages) -> int:
    """Set a tokenizer to the languages; the id that targets begin with."""
    tokenizer = named.tokenizer
    tokens = {key: _token(tokenizer, code) for key, code in languages.model_dump().items()}
    for key, token in tokens.items():
        if token in (None, tokenizer.unk_token_id):
            code = getattr(languages, key)
            allowed = f"allowed: {_codes(tokenizer)}"
            raise ValueError(f"{_KEY}.{key}: {code!r} is no language of the tokenizer; {allowed}")
    tokenizer.src_lang, tokenizer.tgt_lang = languages.source, languages.target
    start = tokenizer(text_target="")["input_ids"]
    if start != [tokens["target"], named.end]:
        raise ValueError(
            f"{_KEY}: {type(tokenizer).__name__} writes the language behind a text; allowed: "
            "tokenizers that begin a target with it, as those of M2M-100, mBART-50 and NLLB"
        )
    return int(start[0])


def _token(tokenizer: Any, code: str) -> int | None:
    """The id of a language, whose token may have another name than its code; None without one."""
    if code not in _known(tokenizer):
        return None
    name = getattr(tokenizer, "lang_code_to_token", {}).get(code, code)
    return int(tokenizer.convert_tokens_to_ids(name))


def _known(tokenizer: Any) -> list[str]:
    """The codes of the languages: a tokenizer without a table of them has special tokens alone."""
    for name in ("lang_code_to_token", "lang_code_to_id"):
        if table := getattr(tokenizer, name, None):
            return sorted(table)
    return sorted(map(str, tokenizer.extra_special_tokens))


def _codes(tokenizer: Any) -> str:
    found = _known(tokenizer)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
