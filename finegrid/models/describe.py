"""The anatomies of the models of a benchmark, found on the meta device in a process of its own.

The planner asks, which loads no torch: `finegrid/models/anatomies.py`.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from finegrid.models.anatomy import Anatomy
from finegrid.models.blueprint import Blueprint, Description
from finegrid.models.body import LENGTHS
from finegrid.models.discovery import AnatomyError, blank, build, discover
from finegrid.models.pooling import (
    NoClassifierError,
    blank_anatomy,
    classifier_class,
    own_classifier,
)

_TYPE = "model_type"
_SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("decoder_layers", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "ffn_dim", "hidden_dim"),
)
"""Sizes that decide an anatomy, by the library's common names."""
_POSITIONS, _ABSOLUTE = "position_embedding_type", "absolute"
_SWITCHES = ("is_encoder_decoder", "is_decoder")
"""Keys that would make another model of a type than the one that its checkpoints are."""


class _KeyError(ValueError):
    """What is wrong with one key of a configuration."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


def describe(blueprint: Blueprint) -> Description:
    """The anatomy of the classifier that a run would load, or why there is none."""
    try:
        return Description(anatomy=_anatomy(blueprint))
    except _KeyError as error:
        return Description(problem=str(error), key=error.key)
    except (AnatomyError, NoClassifierError) as error:
        return Description(problem=str(error))


def _anatomy(blueprint: Blueprint) -> Anatomy:
    config = _configuration(blueprint)
    anatomy = _of_classifier(config, blueprint)
    if blueprint.whole or any(key in blueprint.configuration for key in LENGTHS):
        return anatomy
    return anatomy.model_copy(update={"positions": None})  # not known, and so no limit yet


def _of_classifier(config: Any, blueprint: Blueprint) -> Anatomy:
    if (loader := blueprint.loader) is None:
        return discover(build(config))
    if blueprint.pooling is not None:
        kind = classifier_class(config, loader, blueprint.pooling)
        return discover(blank(kind._from_config, config))
    try:
        return blank_anatomy(config, own_classifier(config, loader))
    except NoClassifierError:
        other = discover(build(config))
        if blueprint.reads in (None, other.reads):
            raise
        return other  # what it reads is held against its task


def _configuration(blueprint: Blueprint) -> Any:
    """The library's configuration. Raises _KeyError, and AnatomyError where it cannot be made."""
    from transformers import CONFIG_MAPPING

    options = dict(blueprint.configuration)
    if _TYPE not in options:
        raise _KeyError(_TYPE, "this key is required")
    model_type = str(options.pop(_TYPE))
    if model_type not in CONFIG_MAPPING:
        raise _KeyError(_TYPE, _unknown_type(model_type, list(CONFIG_MAPPING)))
    kind = CONFIG_MAPPING[model_type]
    for key, problem in _problems(kind, options, written=blueprint.written):
        raise _KeyError(key, problem)
    try:
        return kind(**options)
    except Exception as error:  # whatever the library raises for such a configuration
        line = " ".join(str(error).split())
        raise AnatomyError(f"{model_type}: no such configuration: {line}") from error


def _unknown_type(model_type: str, known: list[str]) -> str:
    from transformers import __version__

    near = difflib.get_close_matches(model_type, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    allowed = f"allowed: a model type of transformers {__version__}"
    stack = "a plain stack of layers is kind: network, with its layers"
    return f"unknown model type {model_type!r}: {hint}{allowed}; {stack}"


def _problems(kind: Any, options: Mapping[str, Any], *, written: bool) -> Iterator[tuple[str, str]]:
    """Key and what is wrong: a size that is missing, or a switch that is not the type's own."""
    for name in _SIZES if written else ():
        key = kind.attribute_map.get(name, name)
        if isinstance(getattr(kind, key, None), int) and not {key, name} & options.keys():
            yield key, "this key is required"
    for key in _SWITCHES:
        own = bool(getattr(kind, key, False))
        if bool(options.get(key, own)) != own:
            shown, allowed = json.dumps(options[key], default=str), json.dumps(own)
            yield key, f"{shown} is not allowed; allowed for {kind.model_type}: {allowed}"
    positions = options.get(_POSITIONS) or _ABSOLUTE
    if positions != _ABSOLUTE and not hasattr(kind, _POSITIONS):
        reason = "the library has no such positions any more"
        yield _POSITIONS, f'{positions!r} is not allowed: {reason}; allowed: "{_ABSOLUTE}"'


def main() -> int:
    """Blueprints on stdin, one a line as JSON; their descriptions on stdout, in that order."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    for line in sys.stdin:
        found = describe(Blueprint.model_validate_json(line))
        sys.stdout.write(found.model_dump_json() + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
