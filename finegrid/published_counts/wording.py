"""From the words of a publication to registered methods and their settings.

Nothing here knows a method by its name. A word is translated where the method has the setting that
the word stands for; whatever no method can be told is the reason why a row is not built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from finegrid.models.anatomy import Anatomy
from finegrid.models.live import anatomy_of
from finegrid.problems import Problems
from finegrid.published_counts.models import NotBuiltError
from finegrid.records.registry import UnknownNameError
from methods.contract import Method
from methods.peft_counted import FORMS, CountedType
from methods.peft_types import NOT_OFFERED
from methods.registry import METHODS

if TYPE_CHECKING:
    from torch import nn

Settings = dict[str, JsonValue]
_BRIDGE = "peft:"
_RENAMED = {
    "bottleneck": "size",
    "encoder_hidden": "hidden",
    "own_layernorm": "layer_norm",
    "reparametrisation_hidden": "reparametrisation",
}
_PLACEMENTS: Mapping[str, str] = {
    "attention output": "attention",
    "feed-forward output": "feed-forward",
}
_ROLES: Mapping[str, str] = {"feed-forward output": "down"}
_INNER = ("feed-forward intermediate", "down")
"""Where a layer is named whose inputs are meant: the inner activations of the feed-forward part."""
_ABOUT = ("prefix_tokens", "infix_tokens")
"""Vectors before a prompt and behind it."""
_TOP = re.compile(r"top (\d+)")
_ALWAYS: Settings = {"attentions": "encoder self, decoder self, decoder cross"}
"""What a source says of something that is never done in another way."""
_STACKS: Settings = {"at": "encoder and decoder"}
_COMPANION = "with_"
_BRIDGED = {
    "rank": "r",
    "alpha": "lora_alpha",
    "length": "num_virtual_tokens",
    "encoder": "encoder_reparameterization_type",
    "encoder_hidden": "encoder_hidden_size",
}
"""Words of the file -> keys of a foreign library's configuration."""
_LENGTHS = {key: word for word, key in _BRIDGED.items()}
"""The same the other way round, for a method of our own."""
_TARGETS = "target_modules"
_MODULES = {_TARGETS: "targets", "feedforward_modules": "inputs"}
"""Keys of that configuration that name modules -> our settings that name roles."""
_OTHERS = ("peft_type", "peft_version", "task_type", "base_model_name_or_path", "inference_mode")
"""Keys of that configuration that are no setting of a method."""
_NEVER: Settings = {
    "bias": "none",
    "boft_n_butterfly_factor": 1,
    "fan_in_fan_out": False,
    "num_transformer_submodules": 1,
    "prefix_projection": False,
}
"""What that configuration says of something that is never done here, or found out."""
_FREEZING: Mapping[str, Settings] = {"lora-fa": {"freeze_a": True}}
"""A foreign library's optimizer -> our setting that leaves the same untrained."""
_UNCOUNTED = (
    "encoder_hidden_size",
    "init_lora_weights",
    "init_weights",
    "num_attention_heads",
    "num_layers",
    "prompt_tuning_init",
    "token_dim",
)
"""Keys that repeat the model's sizes, or say only where training starts."""


@dataclass(frozen=True)
class Recipe:
    """Methods that are applied one after the other, and how many such sets there are."""

    methods: tuple[Method, ...]
    copies: int = 1
    notes: tuple[str, ...] = ()
    """What is built in another way than the source's own."""


@dataclass(frozen=True)
class Place:
    """What a translation may depend on: the method's settings and the model's anatomy."""

    settings: frozenset[str]
    anatomy: Anatomy

    @property
    def width(self) -> int:
        """Features of the residual stream. Raises NotBuiltError where no configuration says it."""
        if self.anatomy.hidden is None:
            raise NotBuiltError("no configuration says how wide the model is")
        return self.anatomy.hidden


def paper_recipe(spec: Mapping[str, JsonValue], model: nn.Module) -> Recipe:
    """The methods that a paper's specification describes. Raises NotBuiltError.

    `a+b` is both methods on one model; a key `a_x` is then the setting x of a. A key `with_c` adds
    the method c. Where a bridge cannot adapt the targets, our own method of that type does.
    """
    words = dict(spec)
    asked = str(words.pop("method", None)).split("+")
    part = _part_of_fused(words.get("targets"), model)
    main = [((part or name not in METHODS) and _own(name)) or name for name in asked]
    if part and any(name.startswith(_BRIDGE) for name in main):
        raise NotBuiltError(part)
    why = f": {part}" if part else ""
    notes = tuple(f"built by our own {name}{why}" for name in main if name not in asked)
    companions = [key.removeprefix(_COMPANION) for key in _switched_on(words)]
    copies = _copies(words, model)
    parts = {name: _settings(name, words, main, model) for name in main}
    _refuse_unclaimed(parts)
    parts |= {name: {} for name in companions}
    methods = tuple(_build(name, given, model) for name, given in parts.items())
    return Recipe(methods, copies, notes)


def board_recipe(
    config: Settings | None, experiment: str, optimizer: str | None, model: nn.Module
) -> Recipe:
    """The method of a row of a board, by the board's own configuration. Raises NotBuiltError.

    Without a configuration nothing foreign is involved: the experiment's name begins with ours.
    Where an optimizer leaves a part untrained, our own method of the type is told to do so.
    """
    if config is None:
        names = [name for name in METHODS if experiment.startswith(f"{name}-")]
        name = max(names, key=len, default=experiment)
        return Recipe((_build(name, {}, model),))
    name = _BRIDGE + str(config.get("peft_type")).lower()
    rest = _asked(config, name)
    if optimizer and optimizer not in _FREEZING:
        raise NotBuiltError(f"unknown optimizer {optimizer!r}; known: {', '.join(_FREEZING)}")
    ours = _own(name)
    if ours and (optimizer or name not in METHODS):
        given = {_LENGTHS.get(key, key): rest[key] for key in rest if key not in _UNCOUNTED}
        frozen = _FREEZING[optimizer] if optimizer else {}
        built = _build(ours, {**_placed_by_role(given, ours, model), **frozen}, model)
        return Recipe((built,), notes=(f"built by our own {ours}",))
    try:
        own = _placed_by_role(rest, name, model)
        places = {key: own.pop(key) for key in _MODULES.values() if key in own}
        return Recipe((_build(name, {**places, "config": own}, model),))
    except NotBuiltError as why:
        return _counted(name, rest, why)


def _counted(name: str, config: Settings, why: NotBuiltError) -> Recipe:
    """A bridged type that is not offered, or not for such a model: it is counted all the same."""
    type_name = name.removeprefix(_BRIDGE)
    if type_name not in FORMS:
        raise why
    method = CountedType(type_name, config)
    reason = str(why).removeprefix(f"{name}: ")
    return Recipe((method,), notes=(f"counted; not offered for it: {reason}",))


def _asked(config: Settings, name: str) -> Settings:
    """What a configuration says of the count of a type."""
    others = {*_OTHERS, *_passed_over(name)}
    return {
        key: value
        for key, value in config.items()
        if key not in others and (key not in _NEVER or value != _NEVER[key])
    }


def _placed_by_role(given: Settings, name: str, model: nn.Module) -> Settings:
    """The configuration with roles in place of modules, or none for the table of tokens."""
    placed = dict(given)
    if "targets" not in _fields(name) and given.get(_TARGETS) == anatomy_of(model).embeddings:
        placed.pop(_TARGETS, None)
    for key, setting in _MODULES.items():
        if setting in _fields(name) and (roles := _roles_of(given.get(key), model)):
            placed[setting] = roles
            placed.pop(key)
    return placed


def _switched_on(words: Settings) -> list[str]:
    """The `with_` keys that are true, taken out together with those that are false."""
    keys = [key for key, value in words.items() if key.startswith(_COMPANION) and value in (0, 1)]
    return [key for key in keys if words.pop(key)]


def _copies(words: Settings, model: nn.Module) -> int:
    config: Any = model.config
    if not getattr(config, "is_encoder_decoder", False):
        return 1
    both = [key for key, value in _STACKS.items() if words.get(key) == value]
    for key in both:
        words.pop(key)
    return 1 + len(both)


def _settings(name: str, words: Settings, names: list[str], model: nn.Module) -> Settings:
    """The words that are meant for one of the methods, translated."""
    others = tuple(f"{other}_" for other in names if other != name)
    own = {
        key.removeprefix(f"{name}_"): value
        for key, value in words.items()
        if not key.startswith(others)
    }
    place = Place(_fields(name), anatomy_of(model))
    for translate in _TRANSLATIONS:
        own = translate(own, place)
    return own


def _fields(name: str) -> frozenset[str]:
    try:
        entry: Any = METHODS.get(name)
    except UnknownNameError as error:
        why = NOT_OFFERED.get(name.removeprefix(_BRIDGE)) if name.startswith(_BRIDGE) else None
        absent = f"{name}: {why}" if why else f"no method {name!r} is registered"
        raise NotBuiltError(absent) from error
    return frozenset(one.name for one in fields(entry))


def _passed_over(name: str) -> tuple[str, ...]:
    """Keys of the bridged type's configuration that no count depends on."""
    found: tuple[str, ...] = (
        getattr(METHODS.get(name), "passed_over", ()) if name in METHODS else ()
    )
    return found


def _own(name: str) -> str | None:
    """Our own method of a bridged type, where there is one."""
    kind = name.removeprefix(_BRIDGE)
    ours = (one for one in METHODS if not one.startswith(_BRIDGE))
    found = [one for one in ours if METHODS.get(one).library_type == kind]
    return found[0] if found and name.startswith(_BRIDGE) else None


def _refuse_unclaimed(parts: dict[str, Settings]) -> None:
    """Leave each method its own settings; a key that none of them has is refused."""
    known = {name: _fields(name) for name in parts}
    for key in dict.fromkeys(key for given in parts.values() for key in given):
        if not any(key in parts[name] and key in known[name] for name in parts):
            raise NotBuiltError(f"{' + '.join(parts)}: no setting {key!r}")
    for name, given in parts.items():
        for key in set(given) - known[name]:
            given.pop(key)


def _build(name: str, settings: Settings, model: nn.Module) -> Method:
    """The registered method, if it fits the model. Raises NotBuiltError."""
    _fields(name)
    anatomy, problems = anatomy_of(model), Problems()
    method = problems.build(METHODS, ((name,), name), ((name,), settings))
    reason = method.not_applicable(anatomy) if method else None
    if reason:
        problems.add((name,), reason)
    elif method:
        problems.lines += method.problems(anatomy)
    if method is None or problems.lines:
        raise NotBuiltError("; ".join(line.split("; allowed")[0] for line in problems.lines))
    return method


def _roles_of(names: JsonValue, model: nn.Module) -> list[JsonValue] | None:
    """The roles of the modules of those names, if every module has one."""
    if not isinstance(names, list):
        return None
    anatomy = anatomy_of(model)
    named = {role: [part.path for part in anatomy.of_roles((role,))] for role in anatomy.roles}
    found = {
        name: [role for role, paths in named.items() if any(p.endswith(f".{name}") for p in paths)]
        for name in map(str, names)
    }
    return [role for one in found.values() for role in one] if all(found.values()) else None


def _always(words: Settings, place: Place) -> Settings:
    return {key: value for key, value in words.items() if _ALWAYS.get(key) != value}


def _renamed(words: Settings, place: Place) -> Settings:
    return {
        _RENAMED[key] if _RENAMED.get(key) in place.settings else key: value
        for key, value in words.items()
    }


def _infixed(words: Settings, place: Place) -> Settings:
    """Vectors behind a prompt, which count as those before it."""
    counts = [words.get(key) for key in _ABOUT]
    if "length" not in place.settings or not all(isinstance(one, int) for one in counts):
        return words
    rest = {key: value for key, value in words.items() if key not in _ABOUT}
    return rest | {"length": sum(one for one in counts if isinstance(one, int))}


def _topped(words: Settings, place: Place) -> Settings:
    """The last blocks alone, in words."""
    top = _TOP.fullmatch(str(words.get("layers")))
    if "top_blocks" not in place.settings or top is None:
        return words
    rest = {key: value for key, value in words.items() if key != "layers"}
    return rest | {"top_blocks": int(top[1])}


def _placed(words: Settings, place: Place) -> Settings:
    if "placement" not in words:
        return words
    where = words["placement"]
    return words | {"placement": _PLACEMENTS.get(str(where), where)}


def _reduced(words: Settings, place: Place) -> Settings:
    factor = words.get("reduction_factor")
    if "size" not in place.settings or not isinstance(factor, int) or factor < 1:
        return words
    rest = {key: value for key, value in words.items() if key != "reduction_factor"}
    return rest | {"size": place.width // factor}


def _complemented(words: Settings, place: Place) -> Settings:
    """What goes to all layers but some goes to the others."""
    without = words.get("without")
    if "added_to" not in place.settings or not isinstance(without, list):
        return words
    excluded = {_ROLES.get(str(role), str(role)) for role in without}
    rest = {key: value for key, value in words.items() if key != "without"}
    return rest | {"added_to": [role for role in place.anatomy.roles if role not in excluded]}


def _scaled(words: Settings, place: Place) -> Settings:
    """Targets of a method that tells outputs from inputs.

    A feed-forward layer that is given as a string is none to the library in question, which then
    scales its outputs, as those of the other layers.
    """
    targets = words.get("targets")
    direct = "targets" in place.settings or "outputs" not in place.settings
    if direct or not isinstance(targets, list):
        return words
    rest = {key: value for key, value in words.items() if key != "targets"}
    outputs = [role for role in targets if role not in _INNER]
    inputs: list[JsonValue] = ["down"] if len(outputs) < len(targets) else []
    if rest.pop("feedforward_as_string", False):
        inputs, outputs = [], [*outputs, "down"]
    return rest | {"outputs": outputs, "inputs": inputs}


def _bridged(words: Settings, place: Place) -> Settings:
    """What a bridge has no setting for goes into the foreign configuration."""
    if "config" not in place.settings:
        return words
    own = {key: value for key, value in words.items() if key in place.settings}
    rest = {_BRIDGED.get(key, key): words[key] for key in words if key not in own}
    if isinstance(kind := words.get("encoder"), str):
        rest[_BRIDGED["encoder"]] = kind.upper()
    return {"config": rest, **own}


def _part_of_fused(targets: JsonValue, model: nn.Module) -> str | None:
    """Why a bridge cannot adapt the targets; it would count the whole of a fused projection."""
    named = set(map(str, targets)) if isinstance(targets, list) else set()
    fused = [part for part in anatomy_of(model).parts if part.outputs]
    other = {part.path for part in fused if part.role not in named}
    halved = sorted({part.role for part in fused if part.role in named and part.path in other})
    if not halved:
        return None
    parts = ", ".join(halved)
    return f"{parts} are part of a fused projection, which the library adapts as a whole"


_TRANSLATIONS: tuple[Callable[[Settings, Place], Settings], ...] = (
    _always,
    _renamed,
    _infixed,
    _topped,
    _placed,
    _reduced,
    _complemented,
    _scaled,
    _bridged,
)
