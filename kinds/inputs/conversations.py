"""Conversations, as data sets of the Hub have them: a list of turns, the last one the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_ROLES = {
    **{role: role for role in ("system", "user", "assistant")},
    **{"human": "user", "gpt": "assistant"},
}
"""Role by its name in either of the two usual forms."""
_ANSWERING, _ASKING = "assistant", "user"
_KEYS = (("role", "from"), ("content", "value"))
"""The keys of a turn in either form."""
CONVERSATION = (
    "a list of turns of system, user (human) and assistant (gpt), each with a text, in which the "
    "last assistant answers a user; a call of a tool is none"
)


def last_turn(value: Any) -> tuple[str, str, str]:
    """What came before the last question as JSON, that question, and its answer.

    A turn has `role` and `content`, or `from` and `value`; turns behind the last answer are left
    out. Raises ValueError for what is no conversation with an answer to a question.
    """
    turns = [_turn(one) for one in _listed(value)]
    while turns and turns[-1]["role"] != _ANSWERING:
        turns.pop()
    if [one["role"] for one in turns[-2:]] != [_ASKING, _ANSWERING]:
        raise ValueError("no answer of an assistant to a user")
    *earlier, question, answer = turns
    before = json.dumps(earlier, ensure_ascii=False)
    return before, question["content"], answer["content"]


def _listed(value: Any) -> list[Any]:
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        raise ValueError("no list of turns")
    return found


def _turn(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("a turn that is no mapping")
    role, content = (value.get(one, value.get(other)) for one, other in _KEYS)
    if role not in _ROLES or not isinstance(content, str):
        raise ValueError(f"a turn of {role!r}; allowed: {', '.join(_ROLES)}, with a text")
    return {"role": _ROLES[role], "content": content}
