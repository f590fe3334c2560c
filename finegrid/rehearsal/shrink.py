"""A model's configuration made tiny, with what makes its architecture differ from others kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from finegrid.models.anatomy import Anatomy
from finegrid.models.blueprint import Blueprint, Purpose
from finegrid.models.describe import describe
from finegrid.models.discovery import AnatomyError
from finegrid.records.specification import Model
from finegrid.rehearsal.sizes import Configuration, is_size, narrow, shallow

_ASIDE = frozenset(
    {
        *("architectures", "auto_map", "dtype", "torch_dtype", "transformers_version"),
        *("_name_or_path", "id2label", "label2id", "use_cache"),
    }
)
"""What a configuration says of its file, of its labels and of how it was stored."""
_SMALL = 1 << 23
"""Weights of blocks that a model may have which is not made smaller."""


class ShrinkError(ValueError):
    """A model that cannot be made small by the keys of its configuration."""


@dataclass(frozen=True)
class Shrunk:
    """A tiny configuration, and what was changed to come to it."""

    configuration: Configuration
    changes: tuple[str, ...]
    anatomies: Mapping[Purpose, Anatomy]


def resolved(configuration: Mapping[str, Any]) -> Configuration:
    """All that the library says of a configuration, defaults filled in, as plain values.

    Raises AnatomyError where it makes none of it.
    """
    from transformers import AutoConfig

    options = {key: value for key, value in configuration.items() if key not in _ASIDE}
    name = str(options.pop("model_type"))
    try:
        made = AutoConfig.for_model(name, **options)
    except Exception as error:  # whatever the library raises for such a configuration
        raise AnatomyError(f"{name}: {' '.join(str(error).split())}") from error
    plain: Configuration = json.loads(json.dumps(made.to_dict(), default=str))
    return plain


def shrunk(
    model: Model, purposes: Sequence[Purpose], tokens: Callable[[Configuration], Configuration]
) -> Shrunk:
    """The model with fewer blocks and smaller widths, if its anatomies stay alike.

    `tokens` gives the keys that another tokenizer changes. Widths and blocks are both lowered, or
    one of them where the library, or the anatomy, does not allow both. Raises ShrinkError, and
    AnatomyError where the library makes nothing of the whole one.
    """
    whole = resolved(model.configuration)
    before = {one: _anatomy(model, model.configuration, one) for one in purposes}
    changes = tokens(whole)
    base = _written(model.configuration, whole) | changes
    for smaller in _candidates(whole):
        tiny = base | smaller
        after = {one: _described(model, tiny, one) for one in purposes}
        alike = all(one and _alike(one, before[purpose]) for purpose, one in after.items())
        if alike and (smaller or _is_small(before.values())):
            said = tuple(_said(whole, changes | smaller))
            found = {purpose: one for purpose, one in after.items() if one}
            return Shrunk(tiny, said, found)
    raise ShrinkError(
        f"model {model.name!r} cannot be shrunk by the keys of its configuration: smaller values "
        "make another architecture, or none"
    )


def _candidates(whole: Configuration) -> Iterator[Configuration]:
    """Smaller values, the smallest model first; none of them last."""
    for parts in ((shallow, narrow), (narrow,), (shallow,), ()):
        yield _smaller(whole, parts)


def _smaller(
    whole: Configuration, parts: Sequence[Callable[[Configuration], Configuration]]
) -> Configuration:
    """The keys that change, in nested configurations too."""
    found: Configuration = {}
    for part in parts:
        found |= part(whole | found)
    for key, value in whole.items():
        if isinstance(value, dict) and "model_type" in value and (inner := _smaller(value, parts)):
            found[key] = _bare(value) | inner
    return found


def _bare(configuration: Mapping[str, Any]) -> Configuration:
    return {key: value for key, value in configuration.items() if key not in _ASIDE}


def _written(given: Mapping[str, Any], whole: Configuration) -> Configuration:
    """What a benchmark says of the configuration by the library's names, and all sizes."""
    from transformers import CONFIG_MAPPING

    names = CONFIG_MAPPING[str(given["model_type"])].attribute_map
    said = {names.get(key, key) for key in given}
    kept = {key: value for key, value in whole.items() if key in said or is_size(key)}
    return _bare({**given, **kept}) if not names else _bare(_unaliased(given, names) | kept)


def _unaliased(given: Mapping[str, Any], names: Mapping[str, str]) -> Configuration:
    return {names.get(key, key): value for key, value in given.items()}


def _anatomy(model: Model, configuration: Mapping[str, Any], purpose: Purpose) -> Anatomy:
    found = describe(_blueprint(model, configuration, purpose))
    if found.anatomy is None:
        raise AnatomyError(f"model {model.name!r}: {found.problem}")
    return found.anatomy


def _described(model: Model, configuration: Mapping[str, Any], purpose: Purpose) -> Anatomy | None:
    try:
        return describe(_blueprint(model, configuration, purpose)).anatomy
    except Exception:  # a size that the library's own layers refuse
        return None


def _blueprint(model: Model, configuration: Mapping[str, Any], purpose: Purpose) -> Blueprint:
    asked = Blueprint.of(model, purpose)
    return asked.model_copy(update={"configuration": dict(configuration), "written": False})


def _alike(one: Anatomy, other: Anatomy) -> bool:
    return _traits(one) == _traits(other)


def _traits(anatomy: Anatomy) -> tuple[Any, ...]:
    """What tells architectures apart, and no size of them."""
    return (
        *(anatomy.reads, anatomy.causal, anatomy.encoder_decoder, anatomy.packs, anatomy.head),
        *(anatomy.optional, anatomy.poolings, anatomy.has_biases, anatomy.batch_norm is None),
        {(part.stack, part.role, part.stored) for part in anatomy.parts},
        {Fraction(one.heads, one.key_heads) for one in anatomy.attention},
        anatomy.attention_reason is None,
        anatomy.sums_known,
    )


def _is_small(anatomies: Any) -> bool:
    return all(one.block_weights <= _SMALL for one in anatomies)


def _said(whole: Configuration, changes: Configuration) -> Iterator[str]:
    """Key, old and new value of all that changes, numbers alone."""
    for key, value in changes.items():
        old = whole.get(key)
        if isinstance(value, dict):
            yield from (f"{key}.{one}" for one in _said(old or {}, value))
        elif old != value and isinstance(value, int):
            yield f"{key} {old} -> {value}"
