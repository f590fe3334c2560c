"""Discovery: the anatomy of a model by one rule over its modules, which a family corrects.

Blocks are the elements of the topmost lists that hold linear layers; a role is a word at the end
of a layer's path, with whether the layer stands in attention to tell apart what shares a word.
Nothing is computed: the model may be on the meta device.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import nn

from finegrid.models import body
from finegrid.models.anatomy import Anatomy, Block, Part, Unnamed
from finegrid.models.blocks import find_blocks
from finegrid.models.family import Family, family_of, place_of
from finegrid.models.fused import LayoutError
from finegrid.models.image_size import image_size
from finegrid.models.parts import (
    Weight,
    configuration_around,
    is_layer_of_attention,
    is_weight,
    part_of,
    place_from,
    unnamed,
    weights_of,
)

LOADERS = (
    *("SequenceClassification", "Seq2SeqLM", "SpeechSeq2Seq", "CausalLM"),
    *("ImageClassification", "AudioClassification", "CTC", "ObjectDetection"),
    *("SemanticSegmentation", "ImageTextToText"),
    *("TokenClassification", "MultipleChoice", "QuestionAnswering"),
)
"""Auto classes of the library by their ends, in the order in which one is chosen by default."""
_AUTO = "AutoModelFor"


class AnatomyError(ValueError):
    """A model whose anatomy cannot be told: one line that names what is wrong."""


def discover(model: nn.Module, family: Family | None = None) -> Anatomy:
    """The anatomy of a live model, which has a configuration with its model type.

    `family` stands in for the registered one of that type. Raises AnatomyError
    where a family's layout does not fit the model, or its input is not known.
    """
    config: Any = model.config
    try:
        return _discover(model, family or family_of(config.model_type))
    except (LayoutError, body.UnknownInputError) as error:
        raise AnatomyError(f"{config.model_type}: {error}") from error


def build(configuration: Any, loader: str | None = None) -> nn.Module:
    """A model of a library's configuration on the meta device; `loader` names its auto class.

    Raises AnatomyError where the class has no such model, or the model cannot be built.
    """
    import transformers

    name = loader or default_loader(configuration)
    auto: Any = getattr(transformers, name, None)
    if not hasattr(auto, "_model_mapping"):
        raise AnatomyError(f"loader: {name!r} is no auto class of the library")
    own = class_of(configuration, auto)
    if own is None:
        kind = configuration.model_type
        fitting = ", ".join(fitting_loaders(configuration)) or "none"
        raise AnatomyError(f"loader: {name!r} has no model of type {kind!r}; allowed: {fitting}")
    return blank(own._from_config, configuration)


def class_of(configuration: Any, auto: Any) -> Any:
    """The class that an auto class has for a configuration; of several the first, or None."""
    found = auto._model_mapping.get(type(configuration), None)
    return found[0] if isinstance(found, tuple) else found


def blank(make: Callable[[Any], nn.Module], configuration: Any) -> nn.Module:
    """What `make` makes of a configuration, on the meta device. Raises AnatomyError."""
    try:
        with torch.device("meta"):
            model = make(copy.deepcopy(configuration))  # the library notes in it how it was used
    except Exception as error:  # whatever a model's constructor raises for such a configuration
        line = " ".join(str(error).split())
        raise AnatomyError(f"{configuration.model_type}: cannot be built: {line}") from error
    return model


def default_loader(configuration: Any) -> str:
    """The auto class that a configuration's model is built by where none is named."""
    return next(iter(fitting_loaders(configuration)), "AutoModel")


def fitting_loaders(configuration: Any) -> list[str]:
    """The auto classes that have a model of the configuration's type."""
    import transformers

    names = [f"{_AUTO}{end}" for end in LOADERS]
    found = {name: getattr(transformers, name)._model_mapping for name in names}
    return [name for name, mapping in found.items() if type(configuration) in mapping]


@dataclass(frozen=True)
class _Found:
    blocks: dict[str, Block]
    parts: list[Part]
    weights: int
    unnamed: tuple[Unnamed, ...]
    unknown: tuple[str, ...]
    """Paths of layers of attention that no role names."""


def _discover(model: nn.Module, family: Family) -> Anatomy:
    config: Any = model.config
    head = body.head_paths(model, family)
    found = _blocks_and_parts(model, family, head)
    attention, reason = body.attention_of(model, found.blocks, found.parts, found.unknown, family)
    embeddings = body.embeddings_path(model)
    return Anatomy(
        model_type=config.model_type,
        reads=body.reads(model),
        blocks=tuple(found.blocks.values()),
        parts=tuple(found.parts),
        unnamed=found.unnamed,
        block_weights=found.weights,
        other_weights=_other_weights(model, found.blocks, head, embeddings),
        attention=attention,
        attention_reason=reason,
        heads=_heads(model, found.blocks),
        head=head,
        optional=body.optional_paths(model, family, head),
        embeddings=embeddings,
        output=body.output_path(model, head) if embeddings else None,
        positions=body.positions(model, family) if embeddings else None,
        norms=body.norm_paths(model),
        has_biases=body.has_biases(model, head),
        encoder_decoder=bool(getattr(config, "is_encoder_decoder", False)),
        causal=body.is_causal(model, family, head),
        pooler=embeddings is not None and body.has_pooler(model),
        hidden=_hidden(model, found.blocks),
        image_size=image_size(model),
        batch_norm=body.batch_norm(model),
        attention_implementation="sdpa" if getattr(model, "_supports_sdpa", True) else "eager",
        packs=body.packs(model, attention, found.blocks),
        sums_known=family.sums is not None,
        feed_forward_sums=_sums(found.parts, family, config),
    )


def _blocks_and_parts(model: nn.Module, family: Family, head: tuple[str, ...]) -> _Found:
    blocks = find_blocks(model, (*head, *family.apart), body.body_path(model))
    parts, rest, total = list[Part](), list[Weight](), 0
    for weight in weights_of(model, blocks):
        total += weight.tensor.numel()
        named = [_placed(model, part, family) for part in part_of(weight, family)]
        parts += named
        rest += [] if named else [weight]
    unknown = tuple(weight.path for weight in rest if is_layer_of_attention(weight))
    return _Found(blocks, parts, total, tuple(map(unnamed, rest)), unknown)


def _placed(model: nn.Module, part: Part, family: Family) -> Part:
    """The part with its dropout and its end, where the family knows them and they exist."""
    places: dict[str, str] = {}
    for key, known in (("dropout", family.dropouts), ("end", family.ends)):
        if place := known.get(part.role):
            path = place_from(part.path, place_of(place, model.config))
            places |= {key: path} if _exists(model, path) else {}
    return part.model_copy(update=places)


def _exists(model: nn.Module, path: str) -> bool:
    """Whether a module or an attribute of one stands there; an identity is no dropout."""
    try:
        held = attrgetter(path)(model)
    except AttributeError:
        return False
    return held is not None and not isinstance(held, nn.Identity)


def _sums(parts: list[Part], family: Family, configuration: Any) -> tuple[str, ...]:
    """Where each feed-forward part's output plus its residual comes out."""
    if family.sums is None:
        return ()
    place = place_of(family.sums, configuration)
    downs = [part.path for part in parts if part.role == "down"]
    return tuple(dict.fromkeys(place_from(path, place) for path in downs))


def _heads(model: nn.Module, blocks: Mapping[str, Block]) -> int | None:
    """The most heads of queries among the configurations around the blocks of each stack."""
    firsts = dict[str, str]()
    for path, block in blocks.items():
        firsts.setdefault(block.stack, path)
    configs = (configuration_around(model, path) for path in firsts.values())
    found = [getattr(config, "num_attention_heads", None) for config in configs]
    return max((count for count in found if isinstance(count, int)), default=None)


def _hidden(model: nn.Module, blocks: Mapping[str, Block]) -> int | None:
    """The width of the last block, by the configuration around it; None where none says it."""
    if not blocks:
        return None
    config = configuration_around(model, [*blocks][-1])
    sizes = [getattr(config, "hidden_size", None), *(getattr(config, "hidden_sizes", None) or ())]
    return next((size for size in (sizes[0], sizes[-1]) if isinstance(size, int)), None)


def _other_weights(
    model: nn.Module, blocks: Mapping[str, Block], head: tuple[str, ...], embeddings: str | None
) -> int:
    """Elements of the body's weights outside its blocks, each once."""
    tables = [model.get_submodule(embeddings)] if embeddings else []
    known = {id(tensor) for table in tables for tensor in table.parameters()}
    aside = tuple(f"{path}." for path in (*blocks, *head))
    found = {
        id(tensor): tensor.numel()
        for path, module in model.named_modules()
        for name, tensor in module.named_parameters(recurse=False)
        if is_weight(module, name, tensor) and not f"{path}.{name}".startswith(aside)
    }
    return sum(count for key, count in found.items() if key not in known)
