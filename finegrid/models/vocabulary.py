"""The words that name roles: the ends of paths of layers, as the library calls them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from finegrid.models.pattern import starred

_NAMES: Final[Mapping[str, str]] = {
    "q": "q q_proj query query_proj q_lin q_head Wq wq",
    "k": "k k_proj key key_proj k_lin k_head Wk wk",
    "v": "v v_proj value value_proj v_lin v_head Wv wv",
    "o": "o o_proj out_lin post_proj",
    "up": "up_proj fc1 c_fc lin1 fc_in wi wi_1 w3 ffn pwconv1 linear_1 layer_1 dense1"
    " dense_h_to_4h intermediate_dense intermediate.dense feed_forward.intermediate",
    "gate": "gate_proj wi_0 w1",
    "down": "down_proj fc2 lin2 fc_out w2 ffn_output pwconv2 linear_2 layer_2 dense2"
    " dense_4h_to_h output_dense feed_forward.output",
    "router": "router router.classifier shared_expert_gate",
    "q_a": "q_a_proj",
    "q_b": "q_b_proj",
    "kv_a": "kv_a_proj_with_mqa",
    "kv_b": "kv_b_proj",
}
ENDS: Final[Mapping[str, str]] = {word: r for r, words in _NAMES.items() for word in words.split()}
"""End of a path -> role, wherever in a block the layer stands."""
IN_ATTENTION: Final[Mapping[str, str]] = dict.fromkeys(
    ("Wo", "c_proj", "dense", "out_proj", "output", "output.dense", "proj", "wo"), "o"
)
"""End of a path -> role, under a module of attention."""
ELSEWHERE: Final[Mapping[str, str]] = dict.fromkeys(("Wo", "c_proj", "output.dense", "wo"), "down")
"""End of a path -> role, outside the modules of attention."""
_ATTENTION: Final = frozenset({"q", "k", "v", "o"})
_FEED_FORWARD: Final = frozenset({"up", "gate", "down"})
ATTENTION_MARKS: Final = ("attn", "attention")
"""A module whose name or class holds one of these in any case is one of attention."""


def longest_end(path: str, words: Collection[str]) -> str | None:
    """The word with the most names that the path ends in, whole names alone; None without one.

    `*` in a word stands for the number of an element.
    """
    names, numbered = path.split("."), starred(path).split(".")
    for start in range(len(names)):
        for end in (".".join(names[start:]), ".".join(numbered[start:])):
            if end in words:
                return end
    return None


def role_of(path: str, *, in_attention: bool) -> str | None:
    """The role that the words give a layer by its path; None where they give it none.

    A word for queries means nothing outside attention, nor one for a feed-forward part inside:
    some models gate their attention, and some recurrences speak of keys and values.
    """
    words = {**ENDS, **(IN_ATTENTION if in_attention else ELSEWHERE)}
    end = longest_end(path, words)
    role = words[end] if end else None
    return None if role in (_FEED_FORWARD if in_attention else _ATTENTION) else role
