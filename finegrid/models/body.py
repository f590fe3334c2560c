"""What surrounds the blocks of a live model: its head, embeddings, positions and attention."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from finegrid.models.anatomy import Attention, Block, Part, Reads
from finegrid.models.blocks import is_attention
from finegrid.models.family import Family
from finegrid.models.fused import LayoutError
from finegrid.models.parts import configuration_around
from finegrid.models.pattern import starred

_FUNCTIONS = "ALL_ATTENTION_FUNCTIONS"
"""The library's table of attention functions: a module that calls one of them reads it."""
_HEADS = (
    *("class_embed", "bbox_embed", "classification_head", "classifier", "lm_head"),
    *("proj_out", "projector", "qa_outputs", "score"),
)
"""Names of heads where the body is no module of its own."""
_READS: dict[str, Reads] = {
    "input_ids": "text",
    "pixel_values": "images",
    "input_features": "audio",
    "input_values": "audio",
}
LENGTHS = (
    *("max_position_embeddings", "n_positions", "max_seq_len"),
    "max_encoder_position_embeddings",
)
"""Keys of a configuration that say how long a sequence may be; the first that is there counts."""
_NORM = re.compile(r"Norm(\dd)?$")
_POSITION_WORDS = ("embed_positions", "pos_embed", "position", "wpe")
_POSITION_CLASSES = ("Rotary", "Positional", "PositionEmbedding")
_HEAD_SIZES = ("head_dim", "attention_head_size", "head_size", "key_value_proj_dim")
_MASKS = {"create_causal_mask", "create_sliding_window_causal_mask"}
"""The library's functions that make masks of positions."""
_LAST_TOKEN_HEAD = "score"  # noqa: S105  # the name of a layer
Place = tuple[str, nn.Module, tuple[int, str]]
"""A module that attends: its path, itself, and its block's number and stack."""
_NO_ATTENTION = "the model has no attention"
_NO_SDPA = "the library has no sdpa form of its attention, which a prefix runs on"


class UnknownInputError(ValueError):
    """A model that reads what no kind of task gives."""


def body_path(model: nn.Module) -> str:
    """The path of the body; empty where the model is its own."""
    name = str(getattr(model, "base_model_prefix", ""))
    return name if name and hasattr(model, name) else ""


def head_paths(model: nn.Module, family: Family) -> tuple[str, ...]:
    """The children beside the body that have parameters, or those that the family names.

    A class may say that its head is no task's, but one that pretraining has seen.
    """
    if not getattr(model, "new_head", True):
        return ()
    children, modules = dict(model.named_children()), dict(model.named_modules())
    named = [path for path in family.head or () if path in modules]
    if named:
        return tuple(named)
    body = body_path(model)
    beside = [name for name in children if (name != body if body else name in _HEADS)]
    return tuple(name for name in beside if any(True for _ in children[name].parameters()))


def optional_paths(model: nn.Module, family: Family, head: tuple[str, ...]) -> tuple[str, ...]:
    """The body's pooler, where it has one, and what the family names."""
    modules, pooler = dict(model.named_modules()), f"{body_path(model)}.pooler".removeprefix(".")
    found = (pooler, *family.optional)
    return tuple(path for path in found if path in modules and path not in head)


def reads(model: nn.Module) -> Reads:
    """What goes into the model, by the names of its inputs.

    Raises UnknownInputError for a name that is not known.
    """
    name = getattr(model, "main_input_name", None)
    if name is None:
        return "numbers"
    if {"input_ids", "pixel_values"} <= inspect.signature(type(model).forward).parameters.keys():
        return "text and images"
    if name not in _READS:
        raise UnknownInputError(f"main input {name!r} is not known; allowed: {', '.join(_READS)}")
    return _READS[name]


def embeddings_path(model: Any) -> str | None:
    """The path of the table of tokens; None for a model whose main input is something else."""
    if "text" not in reads(model):
        return None
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:
        return None
    found = (path for path, module in model.named_modules() if module is table)
    return next(found, None) if isinstance(table, nn.Embedding) else None


def output_path(model: Any, head: tuple[str, ...]) -> str | None:
    """The path of the layer that gives a logit for each token, where no task's head is it."""
    layer = model.get_output_embeddings()
    found = (path for path, module in model.named_modules() if module is layer)
    path = next(found, None) if isinstance(layer, nn.Linear) else None
    return None if path in head else path


def positions(model: nn.Module, family: Family) -> int | None:
    """How many vectors a sequence of text may have, by the configuration.

    None where positions are relative to each other, so that nothing limits them. Positions that
    a table keeps for padding count off.
    """
    whole: Any = getattr(model, "config", None)
    config = whole.get_text_config() if hasattr(whole, "get_text_config") else whole
    named = (getattr(config, key, None) for key in LENGTHS)
    count = next((value for value in named if isinstance(value, int)), None)
    tables = list(_position_tables(model))
    limited = family.positions
    if limited is None:
        limited = bool(tables) or _computes_positions(model)
    if count is None or not limited:
        return None
    reserved = [table.padding_idx + 1 for table in tables if table.padding_idx is not None]
    return count - max(reserved, default=0)


def _position_tables(model: nn.Module) -> Iterator[nn.Embedding]:
    for path, module in model.named_modules():
        name = path.rpartition(".")[2]
        if isinstance(module, nn.Embedding) and any(word in name for word in _POSITION_WORDS):
            yield module


def _computes_positions(model: nn.Module) -> bool:
    classes = (type(module).__name__ for module in model.modules())
    by_class = any(word in name for name in classes for word in _POSITION_CLASSES)
    buffers = (name.rpartition(".")[2] for name, _ in model.named_buffers())
    return by_class or any(name in _POSITION_WORDS for name in buffers)


def norm_paths(model: nn.Module) -> tuple[str, ...]:
    """The modules that normalise, by the end of their class's name."""
    named = model.named_modules()
    return tuple(path for path, module in named if _NORM.search(type(module).__name__))


def batch_norm(model: nn.Module) -> str | None:
    """The path of the first norm whose statistics are those of a batch; None without one."""
    classes = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    named = model.named_modules()
    return next((path for path, module in named if isinstance(module, classes)), None)


def has_biases(model: nn.Module, head: tuple[str, ...]) -> bool:
    """Whether any parameter outside the head is a bias."""
    names = [name for name, _ in model.named_parameters() if name.endswith("bias")]
    return any(not name.startswith(tuple(f"{path}." for path in head)) for name in names)


def has_pooler(model: nn.Module) -> bool:
    """Whether the class of the body is made with or without a pooler."""
    body: Any = type(getattr(model, body_path(model)) if body_path(model) else model)
    return "add_pooling_layer" in inspect.signature(body.__init__).parameters


def is_causal(model: nn.Module, family: Family, head: tuple[str, ...]) -> bool:
    """Whether tokens see those before them alone: by the family, its attention, or its head."""
    config = getattr(model, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        return False
    if family.causal is not None:
        return family.causal
    marks = {bool(m.is_causal) for m in model.modules() if hasattr(m, "is_causal")}
    if not getattr(model, "new_head", True) and marks == {False}:
        return False  # a class for decoders, whose configuration is an encoder's
    generates = type(model).__name__.endswith("ForCausalLM")
    return marks == {True} or _LAST_TOKEN_HEAD in head or generates


def calls_library(module: nn.Module) -> bool:
    """Whether a module's forward pass looks an attention function up in the library's table."""
    forward = inspect.unwrap(type(module).forward)
    code = getattr(forward, "__code__", None)
    return code is not None and _FUNCTIONS in code.co_names


def packs(model: Any, attention: tuple[Attention, ...], blocks: Mapping[str, Block]) -> bool:
    """Whether a model that writes parts the examples of a row, by positions that start again.

    The library's masks do so: all blocks have to attend by its functions, and the body has to make
    their mask of the positions.
    """
    if getattr(model, "new_head", True) or {(one.stack, one.block) for one in attention} != {
        (block.stack, number) for _, block, number in _numbered(dict(blocks))
    }:
        return False
    forward = inspect.unwrap(type(model.base_model).forward)
    makes = bool(_MASKS & {*forward.__code__.co_names})
    return makes and "position_ids" in inspect.signature(forward).parameters


def attention_of(
    model: nn.Module,
    blocks: dict[str, Block],
    parts: list[Part],
    unknown: tuple[str, ...],
    family: Family,
) -> tuple[tuple[Attention, ...], str | None]:
    """The modules whose attention can be given more keys, or why there are none.

    A prefix in some of the modules that attend would be another method, so all have to qualify;
    `unknown` are layers of attention that no role names.
    """
    attending = _attending(model, blocks, parts)
    reason = family.attention_reason or _unfit(model, attending, unknown)
    if reason:
        return (), reason
    found = [_attention(path, m, at, parts) for path, m, at in attending]
    for one in filter(None, found):
        _check_heads(configuration_around(model, one.path), one)
    if any(one is None for one in found):
        return (), "its keys are no projection of their own, as they come from a shared vector"
    return tuple(one for one in found if one), None


def _unfit(model: nn.Module, attending: list[Place], unknown: tuple[str, ...]) -> str | None:
    if not attending and not unknown:
        return _NO_ATTENTION
    others = {type(module).__name__ for _, module, _ in attending if not calls_library(module)}
    if others:
        names = ", ".join(sorted(others))
        return f"its attention ({names}) does not go through the library's function"
    if unknown:
        return f"no role names a layer of its attention: {starred(unknown[0])}"
    return None if getattr(model, "_supports_sdpa", True) else _NO_SDPA


def _attending(model: nn.Module, blocks: dict[str, Block], parts: list[Part]) -> list[Place]:
    """Each module that attends, with its place: the innermost around each projection of keys.

    The one that calls the library's function goes before one that only sounds like attention.
    """
    found = dict[str, Place]()
    paths = {(b.stack, n): p for p, b, n in _numbered(blocks)}
    for part in parts:
        if part.role not in ("k", "kv_b") or part.stored == "expert":
            continue
        place = (part.block, part.stack)
        path, module = _around(model, paths[part.stack, part.block], part.path)
        found[path] = (path, module, place)
    return list(found.values())


def _numbered(blocks: dict[str, Block]) -> Iterator[tuple[str, Block, int]]:
    numbers = dict[str, int]()
    for path, block in blocks.items():
        number = numbers.get(block.stack, 0)
        numbers[block.stack] = number + 1
        yield path, block, number


def _around(model: nn.Module, block: str, path: str) -> tuple[str, nn.Module]:
    names, first = path.split("."), len(block.split("."))
    ends = range(len(names) - 1, first - 1, -1)
    around = [(p, model.get_submodule(p)) for p in (".".join(names[:end]) for end in ends)]
    calling = [(p, m) for p, m in around if calls_library(m)]
    sounding = [(p, m) for p, m in around if is_attention(p.rpartition(".")[2], m)]
    return next(iter([*calling, *sounding, *around]))


def _attention(
    path: str, module: nn.Module, place: tuple[int, str], parts: list[Part]
) -> Attention | None:
    inside = {part.role: part for part in parts if part.path.startswith(f"{path}.")}
    named = (getattr(module, name, None) for name in _HEAD_SIZES)
    size = next((value for value in named if isinstance(value, int) and value), None)
    if size is None or not {"q", "k"} <= inside.keys():
        return None
    heads, keys = inside["q"].out_features // size, inside["k"].out_features // size
    block, stack = place
    return Attention(
        path=path, block=block, stack=stack, heads=heads, key_heads=keys, head_size=size
    )


def _check_heads(configuration: Any, found: Attention) -> None:
    """Raise LayoutError where a projection holds more than the heads that there are.

    A layer that is named after the queries alone may hold a gate as well.
    """
    wanted = getattr(configuration, "num_attention_heads", None)
    decoders = getattr(configuration, "decoder_attention_heads", wanted)
    if isinstance(wanted, int) and found.heads not in (wanted, decoders):
        raise LayoutError(
            f"{found.path}: its queries make {found.heads} heads of {found.head_size}, "
            f"the configuration says {wanted}: a family has to say what else they hold"
        )
