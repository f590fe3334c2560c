"""What the keys of a configuration mean for a model's size, and smaller values of them.

Nothing here knows an architecture: the library calls the same sizes by a few dozen names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Configuration = dict[str, Any]
LAYERS = re.compile(r"(num_|n_)?(hidden_|encoder_|decoder_|text_)?layers?|depths?")
WIDTHS = re.compile(
    r"d_model|n_embd|dim|(encoder_|decoder_)?hidden_sizes?|conv_dim"
    r"|(word_)?embed(ding)?_(dims?|size|proj_dim)"
)
FORWARD = re.compile(r"d_ff|n_inner|hidden_dim|(\w+_)?intermediate_size|(\w+_)?ffn_(dim|embed_dim)")
HEADS = re.compile(r"n_heads?|num_heads|(\w+_)?attention_heads")
KEY_HEADS = re.compile(r"num_key_value_heads|num_kv_heads|n_head_kv")
HEAD_SIZES = re.compile(r"head_dim|d_kv|kv_channels")
ROTARY = re.compile(r"rotary_dim")
EXPERTS = re.compile(r"num_(local_)?experts|n_routed_experts|moe_num_experts")
CHOSEN = re.compile(r"num_experts_per_tok|moe_top_?k|num_selected_experts")
_MAIN_WIDTHS = ("hidden_size", "d_model", "n_embd", "dim", "embed_dim")
_FEWEST_LAYERS = 2
_HEADS = 4
"""Heads of queries, where each of them has its own keys."""
_HEAD_SIZE = 16
"""Large enough that parts of it, such as the rotated one, are whole and even."""
_EXPERTS = 4
_STEP = 8
"""What a smaller width is a multiple of."""


def is_size(key: str) -> bool:
    """Whether a key holds a size, by its name."""
    patterns = (LAYERS, WIDTHS, FORWARD, HEADS, KEY_HEADS, HEAD_SIZES, ROTARY, EXPERTS)
    return any(one.fullmatch(key) for one in patterns)


def shallow(whole: Mapping[str, Any]) -> Configuration:
    """The keys that change where two blocks stand for all, one of each type that a list names.

    Lists with an entry a layer are shortened alike, so that each type of layer is kept.
    """
    changed: Configuration = {}
    stages = {
        len(one) for key, one in whole.items() if LAYERS.fullmatch(key) and isinstance(one, list)
    }
    for key, count in _numbers(whole, LAYERS):
        if count <= _FEWEST_LAYERS or count in stages:  # it counts stages, each with its own depth
            continue
        lists = {
            name: value
            for name, value in whole.items()
            if isinstance(value, list) and len(value) == count and not WIDTHS.fullmatch(name)
        }
        kept = _kept_layers(list(lists.values()), count)
        changed[key] = len(kept)
        changed |= {name: [value[i] for i in kept] for name, value in lists.items()}
    for key, value in whole.items():
        if LAYERS.fullmatch(key) and isinstance(value, list) and all(map(_is_number, value)):
            fewer = [min(one, _FEWEST_LAYERS) for one in value]
            changed |= {key: fewer} if fewer != value else {}
    return changed


def _kept_layers(lists: Sequence[Sequence[Any]], count: int) -> list[int]:
    """The first layer of each type, and others until there are enough."""
    firsts = {str([one[i] for one in lists]): i for i in reversed(range(count))}
    kept = sorted(firsts.values()) if lists else []
    if len(kept) == count:  # all differ, as no types of layers would
        kept = []
    others = (i for i in range(count) if i not in kept)
    return sorted([*kept, *(next(others) for _ in range(_FEWEST_LAYERS - len(kept)))])


@dataclass(frozen=True)
class _Scale:
    """How wide a model becomes: heads and their size first, the width follows."""

    width: Fraction
    """New width over old."""
    heads: Fraction = Fraction(1)
    """New number of heads over old, for queries and keys alike."""
    head_size: tuple[int, int] | None = None
    """Size of a head that the configuration says or implies, old and new."""


def narrow(whole: Mapping[str, Any]) -> Configuration:
    """The keys that change where widths, heads, feed-forward parts and experts are smaller.

    The ratio of heads of queries to those of keys stays, and that of all heads to the width.
    """
    scale = _scale(whole)
    if scale is None or scale.width >= 1:
        return {}
    changed: Configuration = {}
    for key, value in whole.items():
        new = _narrowed(key, value, scale)
        if new != value:
            changed[key] = new
    return changed | _few_experts(whole)


def _narrowed(key: str, value: Any, scale: _Scale) -> Any:
    """A value of a configuration after scaling; the same where it is no width."""
    if isinstance(value, Mapping):
        return {name: _narrowed(name, one, scale) for name, one in value.items()}
    if isinstance(value, list | tuple):
        if scale.head_size and len(value) == scale.head_size[0] // 2:
            return list(value)[: scale.head_size[1] // 2]
        if WIDTHS.fullmatch(key) and all(map(_is_number, value)):
            return [_scaled(one, scale.width) for one in value]
        return value
    if not _is_number(value):
        return value
    if WIDTHS.fullmatch(key) or FORWARD.fullmatch(key):
        return _scaled(value, scale.width)
    if HEADS.fullmatch(key) or KEY_HEADS.fullmatch(key):
        return max(1, int(value * scale.heads))
    if scale.head_size and (HEAD_SIZES.fullmatch(key) or ROTARY.fullmatch(key)):
        old, new = scale.head_size
        return max(2, value * new // old // 2 * 2)
    return value


def _scaled(size: int, factor: Fraction) -> int:
    """A size by a factor, exactly where that is whole, else up to the next step."""
    exact = size * factor
    if exact.denominator == 1 and exact.numerator % 2 == 0 and exact >= _STEP:
        return exact.numerator
    return max(_STEP, math.ceil(exact / _STEP) * _STEP)


def _scale(whole: Mapping[str, Any]) -> _Scale | None:
    """How much smaller the model may be; None where its keys do not tell."""
    width = next((whole[key] for key in _MAIN_WIDTHS if _is_number(whole.get(key))), None)
    heads = [value for key, value in whole.items() if HEADS.fullmatch(key)]
    numbers = [value for value in heads if _is_number(value)]
    if width and numbers:
        return _by_heads(whole, width, numbers[0])
    stages = [v for k, v in whole.items() if WIDTHS.fullmatch(k) and isinstance(v, list) and v]
    lists = [value for value in heads if isinstance(value, list) and value]
    if lists and (first := stages[0][0] if stages else whole.get("embed_dim")):
        return _Scale(Fraction(_HEAD_SIZE * lists[0][0], first))
    sizes = [size for value in stages for size in value if _is_number(size)]
    return _Scale(Fraction(1, _STEP)) if sizes and min(sizes) >= _STEP**2 else None


def _by_heads(whole: Mapping[str, Any], width: int, heads: int) -> _Scale:
    """By few heads of a small size, with a width that the groups of the configuration divide."""
    keys = next((value for _, value in _numbers(whole, KEY_HEADS)), heads)
    if keys == heads or heads % keys:
        few = math.gcd(heads, _HEADS) if heads % _HEADS else _HEADS
    else:
        few = heads // keys * math.gcd(keys, 2)
    said = next((value for _, value in _numbers(whole, HEAD_SIZES)), None)
    size = said or width // heads
    groups = [v for k, v in whole.items() if k.endswith("groups") and _is_number(v) and v > 1]
    unit = math.lcm(few * _HEAD_SIZE, *(one for one in groups if width % one == 0))
    inside = Fraction(said * heads, width) if said else Fraction(1)
    new = max(2, int(inside * unit / few) // 2 * 2)
    return _Scale(Fraction(unit, width), Fraction(few, heads), (size, new))


def _few_experts(whole: Mapping[str, Any]) -> Configuration:
    chosen = max([value for _, value in _numbers(whole, CHOSEN)], default=1)
    few = max(_EXPERTS, chosen)
    return {key: few for key, value in _numbers(whole, EXPERTS) if value > few}


def _numbers(whole: Mapping[str, Any], pattern: re.Pattern[str]) -> Iterator[tuple[str, int]]:
    return (
        (key, value) for key, value in whole.items() if pattern.fullmatch(key) and _is_number(value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
