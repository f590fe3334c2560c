"""A bridge to the peft library: its methods under the names `peft:<type>`.

Neither peft nor torch is imported before a method meets a model: what the planner has to know of
a type stands in `methods/peft_types.py`, with the types that are not offered and why.
"""

from __future__ import annotations

import copy
import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, JsonValue

from finegrid.models.anatomy import Anatomy
from finegrid.models.coverage import refusal
from finegrid.models.head import head_parameters
from finegrid.models.layers import Layer, linear_layers
from finegrid.records.training import Weights
from methods.contract import Method
from methods.injection import seeded
from methods.parameters import is_norm, norms, trainable_state
from methods.peft_form import ADAPTER, INSIDE, PeftForm
from methods.peft_keys import annotated_keys, canonical
from methods.peft_starts import START, keep_start, plain_form
from methods.peft_types import IA3, LN_TUNING, TYPES, Config, Type
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

_NO_PLAIN = "the model has no plain linear layers: its weights are kept transposed"
_NO_BIAS = "the model has no biases"
_NO_NORMS = "the model has no norms"
_OURS = frozenset(
    {
        "bias",
        "boft_block_num",
        "boft_n_butterfly_factor",  # peft changes it where its CUDA extension cannot be built
        "exclude_modules",
        "fan_in_fan_out",
        "feedforward_modules",
        "layers_pattern",
        "layers_to_transform",
        "modules_to_save",
        "target_modules",
    }
)
"""Keys of peft's configuration that the roles and the contract decide."""
_UNCOUNTED = (
    "_config",
    "_pattern",
    "layer_replication",
    "lora_bias",
    "proportional_parameters",
    "target_parameters",
    "token_indices",
    "use_bdlora",
    "use_qalora",
)
"""Ends of the keys that change a count in ways of which the closed forms know nothing."""
_STARTS = ("init_lora_weights", "init_weights")
"""Keys that may do so unless they are true, which is peft's default."""
_DRAWN = (True, False, "gaussian", "orthogonal")
"""Their values that leave the base's weights as they are; others write into them."""


class PeftMethod(Method):
    """A type of peft; its hyper-parameters are those of peft's configuration class.

    Constants that a type draws (the projections of VeRA, the mask of SHiRA) come from the seed in
    its configuration, so that they need not be stored; the generator decides all else. A fused
    projection, which holds several roles, is adapted as a whole.
    """

    mergeable: ClassVar[bool] = True
    entry: ClassVar[Type]
    library_type: ClassVar[str]
    """peft's name of the type."""
    passed_over: ClassVar[tuple[str, ...]] = ()
    """Keys that peft's configurations of the type hold, and that no count depends on; they are not
    the user's."""

    def keys(self) -> frozenset[str]:
        """The keys of peft's configuration that are the user's."""
        return frozenset(annotated_keys(self.library_type)) - _OURS

    @abstractmethod
    def settings(self) -> Config:
        """What is set of peft's configuration, our defaults included."""

    @abstractmethod
    def placed(self, model: nn.Module) -> Config:
        """Those settings, and where in the model. Raises ValueError where there is no place."""

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """A key that peft does not have or that is not the user's."""
        allowed = self.keys()
        for key in sorted(self.settings().keys() - allowed):
            yield f"config: {key!r} is no key here; allowed: {', '.join(sorted(allowed))}"

    def weights_problem(self, weights: Weights) -> str | None:
        """A type that mixes constants of the weights' type with what it trains."""
        if weights != "fp32" and self.entry.fp32:
            return "peft multiplies constants of their type with what it trains; allowed: fp32"
        return super().weights_problem(weights)

    @property
    def quantised_problem(self) -> str | None:
        """A type that takes no such layers, or a start that writes into the base's weights."""
        if self.entry.plain:
            return "peft takes plain layers alone for this type"
        settings = self.settings()
        starts = {key: settings[key] for key in _STARTS if key in settings}
        written = (f"{key}: {value}" for key, value in starts.items() if value not in _DRAWN)
        return next((f"config {one} writes into the base's weights" for one in written), None)

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Let peft put its layers in the place of the modules that they wrap."""
        if hasattr(model, "peft_config"):
            raise ValueError("peft has wrapped the model already: apply a method once")
        with seeded(generator):
            self._wrap(model)
        keep_start(model, self.settings())

    def merge(self, model: nn.Module) -> None:
        """Let every layer of peft fold itself into the module it wraps, which takes its place."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        wrapped = [(n, m) for n, m in model.named_modules() if isinstance(m, BaseTunerLayer)]
        for path, layer in wrapped:
            layer.merge()
            parent, _, child = path.rpartition(".")
            setattr(model.get_submodule(parent), child, layer.get_base_layer())
        del model.peft_config

    def peft_form(self, model: nn.Module) -> PeftForm:
        """What peft's layers hold, on the base as it was.

        What they draw comes of the seed in their configuration.
        """
        config: Any = model.peft_config
        plain = {
            key: value for key, value in config[ADAPTER].to_dict().items() if value is not None
        }
        apart = {id(parameter) for parameter in head_parameters(model)}
        own = {name for name, p in model.named_parameters() if id(p) not in apart}
        tensors = {n: t for n, t in trainable_state(model).items() if n in own}
        form = PeftForm(plain, {INSIDE + name: tensor for name, tensor in tensors.items()})
        return plain_form(model, form)

    def body_parameters(self, model: nn.Module) -> int:
        """Count what peft adds to a copy of the model on the meta device: from shapes alone."""
        import torch
        from torch import nn

        tensors = {
            id(p): nn.Parameter(p.detach().to("meta"), requires_grad=p.is_floating_point())
            for p in model.parameters()
        }
        skeleton = copy.deepcopy(model, dict[int, Any](tensors)).requires_grad_(requires_grad=False)
        with torch.device("meta"):
            self._wrap(skeleton)
        return sum(p.numel() for p in skeleton.parameters() if p.requires_grad)

    def _wrap(self, model: nn.Module) -> None:
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
        from peft.utils import PeftType

        name = PeftType(self.library_type.upper())
        config = PEFT_TYPE_TO_CONFIG_MAPPING[name](**self.placed(model))
        PEFT_TYPE_TO_TUNER_MAPPING[name](model, config, ADAPTER)
        model.train(model.training)  # peft's layers start in training, where some of them draw


@dataclass(frozen=True)
class OnLayers(PeftMethod):
    """A type that adapts linear layers."""

    config: Config = field(default_factory=dict)
    """Keys of peft's configuration class."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("q", "v")
    """Roles of the adapted layers; [all] stands for every linear layer."""

    def __post_init__(self) -> None:
        """Write our defaults down, so that the record of a run shows them, and numbers one way."""
        config = canonical(self.library_type, self._defaults() | self.config)
        object.__setattr__(self, "config", config)

    def settings(self) -> Config:
        """The configuration with our defaults."""
        return self.config

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """Roles that the model lacks, or weights that the type cannot read."""
        if reason := refusal(anatomy, self.targets):
            return reason
        stored = {part.stored for part in anatomy.of_roles(self.targets)}
        if "transposed" in stored and not self.entry.transposed:
            return _NO_PLAIN
        return _NO_BIAS if self.entry.biases and not anatomy.has_biases else None

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """A block that does not divide a layer, keys that exclude each other, or a wrong start."""
        yield from super().problems(anatomy)
        either = self.entry.either
        if either and sum(bool(self.config.get(key)) for key in either) != 1:
            given = ", ".join(f"{key} {self.config.get(key)}" for key in either)
            yield f"config: {given}; allowed: one of the two, and the other 0"
        if self.entry.divides:
            yield from self._undivided(anatomy, *self.entry.divides)
        stored = {part.stored for part in anatomy.of_roles(self.targets)}
        if self.config.get(START) == "olora" and "transposed" in stored:
            why = "peft factors a weight as it is stored, and the model's are transposed"
            yield f"config: {START} olora: {why}; allowed: true, gaussian, pissa"

    def placed(self, model: nn.Module) -> Config:
        """The target is a pattern of the layers' whole paths."""
        layers = self._layers(model)
        place: Config = {"target_modules": "|".join(map(re.escape, layers))}
        if "fan_in_fan_out" in annotated_keys(self.library_type):
            place["fan_in_fan_out"] = any(layer.transposed for layer in layers.values())
        return self.config | place

    def body_parameters(self, model: nn.Module) -> int:
        """The type's closed form, summed over the layers.

        Where there is none, or an option changes the count in a way that it does not know, peft's
        layers are counted over a copy of the model on the meta device.
        """
        count = self.entry.count
        if count is None or any(map(_changes_a_count, self.config.items())):
            return super().body_parameters(model)
        sizes = [(layer.in_features, layer.width) for layer in self._layers(model).values()]
        return sum(count(*size, self.config) for size in sizes[: 1 if self.entry.shared else None])

    def _defaults(self) -> Config:
        """Our defaults; of keys that exclude each other, the one that is given makes the rest 0."""
        given = any(self.config.get(key) for key in self.entry.either)
        return self.entry.config | (dict.fromkeys(self.entry.either, 0) if given else {})

    def _undivided(self, anatomy: Anatomy, key: str, *ends: str) -> Iterator[str]:
        """Blocks that do not divide those ends of the layers."""
        parts = anatomy.of_roles(self.targets)
        layers = [(part.in_features, part.out_features) for part in parts]
        sizes = sorted({size[end == "out"] for size in layers for end in ends})
        for name in self.entry.either or (key,):
            block = self.config.get(name)
            if isinstance(block, int) and block > 0 and any(size % block for size in sizes):
                allowed = f"a divisor of {', '.join(map(str, sizes))}"
                yield f"config: {name} {block} does not divide the layers; allowed: {allowed}"

    def _layers(self, model: nn.Module) -> dict[str, Layer]:
        """Path -> layer, one for each module."""
        found = {id(layer.module): layer for layer in linear_layers(model, self.targets)}
        if any(layer.transposed for layer in found.values()) and not self.entry.transposed:
            raise ValueError(_NO_PLAIN)
        if self.entry.biases and any(layer.bias() is None for layer in found.values()):
            raise ValueError(_NO_BIAS)
        return {path: found[id(m)] for path, m in model.named_modules() if id(m) in found}


@dataclass(frozen=True)
class OnBothEnds(OnLayers):
    """A type that scales the outputs of some layers and the inputs of others."""

    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("k", "v", "down")
    """Roles of the adapted layers; [all] stands for every linear layer."""
    inputs: tuple[str, ...] = ("down",)
    """Those of the targets whose inputs are scaled."""

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """Inputs of layers that are no targets, besides the general ones."""
        yield from super().problems(anatomy)
        stray = set(anatomy.named(self.inputs)) - set(anatomy.named(self.targets))
        if stray:
            yield f"inputs: {sorted(stray)} are no targets; allowed: {', '.join(self.targets)}"

    def placed(self, model: nn.Module) -> Config:
        """The paths are a list here: peft never matches a pattern of them."""
        scaled = {id(layer.module) for layer in linear_layers(model, self.inputs)}
        paths: list[JsonValue] = [n for n, m in model.named_modules() if id(m) in scaled]
        return super().placed(model) | {"feedforward_modules": paths}


@dataclass(frozen=True)
class OnNorms(PeftMethod):
    """A type that adapts normalisation layers."""

    config: Config = field(default_factory=dict)
    """Keys of peft's configuration class."""

    def __post_init__(self) -> None:
        """Write numbers one way."""
        object.__setattr__(self, "config", canonical(self.library_type, self.config))

    def settings(self) -> Config:
        """The configuration."""
        return self.config

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """A model without norms has nothing to train."""
        return None if anatomy.norms else _NO_NORMS

    def placed(self, model: nn.Module) -> Config:
        """The target is a pattern of the norms' whole paths."""
        paths = [path for path, module in model.named_modules() if is_norm(module)]
        if not paths:
            raise ValueError(_NO_NORMS)
        return self.config | {"target_modules": "|".join(map(re.escape, paths))}

    def body_parameters(self, model: nn.Module) -> int:
        """Gains and shifts of all norms."""
        return sum(p.numel() for module in norms(model) for p in module.parameters())


def _changes_a_count(item: tuple[str, JsonValue]) -> bool:
    key, value = item
    return key.endswith(_UNCOUNTED) or (key in _STARTS and value is not True)


def register_type(name: str, entry: Type, base: type[PeftMethod] = OnLayers) -> None:
    """Put a class of its own under the name; its row and its base are all that set it apart."""
    body = {
        "__module__": base.__module__,
        "__doc__": f"{name} of peft: {entry.paper}.",
        "paper": entry.paper,
        "entry": entry,
        "library_type": entry.library_type or name,
        "identity_at_start": entry.identity,
        "draws": entry.draws,
        "groups": entry.groups,
        "reads_weights": entry.reads,
    }
    register(f"peft:{name}")(type(f"Peft_{name}", (base,), body))


for _name, _entry in TYPES.items():
    register_type(_name, _entry)
register_type("ia3", IA3, OnBothEnds)
register_type("ln_tuning", LN_TUNING, OnNorms)
