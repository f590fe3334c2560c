"""What inputs share that a decoder reads from left to right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kinds.inputs.text import Tokenizer

SEES_AHEAD = "its tokens see those after them, which are to be learnt; allowed: a decoder"
"""Why a model is refused that is no decoder."""
_FIXED_DATE = "26 Jul 2024"
"""What chat templates that name a day are given: an encoding is the same on every one."""
_BLANKS = " \t"
_PROBE = "finegrid"
"""An answer that no template takes for something else."""


class Frame(NamedTuple):
    """What a chat template puts about an answer, behind the prompt."""

    before: str
    """Such as an empty block of thoughts. A blank at its end is the answer's, as in its tokens."""
    end: int | None
    """The special token that ends the answer's turn; None where it is ended by none."""


def ids_of(named: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, without those that begin or end it."""
    found: list[list[int]] = named.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return found


def beginning(named: Tokenizer) -> list[int]:
    """The special tokens that the tokenizer puts before a text: all but one that ends it."""
    ids: list[int] = named.tokenizer("")["input_ids"]
    return ids[:-1] if ids and ids[-1] == named.end and len(ids) > 1 else _not_end(ids, named)


def put_before(ids: Sequence[int], begins: list[int]) -> list[int]:
    """What begins a text, where its tokens do not begin so: templates are copied with `<s>`."""
    return [] if list(ids[: len(begins)]) == begins else begins


def chat(tokenizer: Any, turns: Sequence[Mapping[str, str]], *, is_answered: bool) -> str:
    """A conversation by the tokenizer's template: up to where an answer begins, or with it.

    Raises ValueError for a tokenizer without a template, or with one that takes no such turns.
    """
    from jinja2 import TemplateError

    if tokenizer.chat_template is None:
        raise ValueError(
            "encoding.template: chat, and the tokenizer has no chat template; allowed: none, or a "
            "text of your own"
        )
    how = {"tokenize": False, "date_string": _FIXED_DATE}
    try:
        found: str = tokenizer.apply_chat_template(
            turns, add_generation_prompt=not is_answered, **how
        )
    except TemplateError as error:
        raise ValueError(
            "encoding.template: chat, and the tokenizer's chat template cannot be applied to "
            f"{', '.join(turn['role'] for turn in turns)}, one after another: {error}; allowed: "
            "turns that it takes, none, or a text of your own"
        ) from error
    return found


def answer_frame(named: Tokenizer) -> Frame:
    """What the tokenizer's chat template puts about an answer, by one that is easily found.

    Nothing, where the template writes an answer, or the prompt before one, in another way.
    """
    asked = [{"role": "user", "content": _PROBE}]
    start = chat(named.tokenizer, asked, is_answered=False)
    answer = {"role": "assistant", "content": _PROBE}
    whole = chat(named.tokenizer, [*asked, answer], is_answered=True)
    before, found, behind = whole.removeprefix(start).partition(_PROBE)
    if not (found and whole.startswith(start)):
        return Frame("", None)
    (ids,) = ids_of(named, [behind])
    added = named.tokenizer.added_tokens_decoder
    special = {*named.tokenizer.all_special_ids, *(at for at, one in added.items() if one.special)}
    return Frame(before.rstrip(_BLANKS), next((one for one in ids if one in special), None))


def _not_end(ids: list[int], named: Tokenizer) -> list[int]:
    """A lone token that ends texts begins none, unless it is the one that does both."""
    both = named.tokenizer.bos_token_id == named.end
    return ids if both or ids != [named.end] else []
