"""What the files of a checkpoint say before anything is loaded. Loads no torch.

The names and shapes of the weights stand in the headers of their files. What only the library
knows, such as names that it converts, is left to the preparation of the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from finegrid.models.architectures import ARCHITECTURES, describe
from finegrid.models.shape import Architecture
from finegrid.prepare.sources import local_files
from finegrid.records.labels import kept_head_problem
from finegrid.records.specification import Checkpoint, Model, Network, RandomModel
from finegrid.records.weights import Shape, WeightsError, stored_shapes

ADAPTER_FILE = "adapter_config.json"
"""Makes the library load more weights than the model's own."""
OTHER_WEIGHTS = "transformers_weights"
"""The key of a configuration that makes the library load another file."""
_QUANTISED = "quantization_config"


def problems(model: Checkpoint) -> Iterator[str]:
    """What is wrong with the weights of a model on this machine, as far as their headers tell."""
    files = local_files(model.source)
    if not files:
        return
    try:
        check_files(files, model.configuration)
        shapes = stored_shapes(files)
    except (WeightsError, OSError) as error:
        yield str(error)
        return
    architecture = ARCHITECTURES.get(str(model.configuration.get("model_type")))
    if architecture is None or _QUANTISED in model.configuration:
        return
    yield from _body_problems(shapes, model.configuration)
    if model.keeps_head and (lost := _lost_heads(shapes, architecture)):
        yield f"head: keep, and the checkpoint has no {', '.join(lost)}; allowed: head: new"


def check_files(files: Mapping[str, Path], configuration: Mapping[str, Any]) -> None:
    """Raise WeightsError for files that make the library load other weights than the model's."""
    if ADAPTER_FILE in files:
        raise WeightsError(f"{ADAPTER_FILE} adds other weights; allowed: none such")
    if other := configuration.get(OTHER_WEIGHTS):
        raise WeightsError(
            f"config.json: {OTHER_WEIGHTS}: {other!r} names other weights; allowed: no such key"
        )


def head_problem(model: Model, labels: Sequence[str]) -> str | None:
    """Why a head that is to be kept does not fit a task of those labels, as far as is known."""
    if not isinstance(model, Checkpoint) or not model.keeps_head:
        return None
    unknown = model.source.uri.startswith("hub:") and "id2label" not in model.configuration
    return None if unknown else kept_head_problem(model.configuration, labels)


def drawn_modules(model: Model) -> tuple[str, ...]:
    """The modules that a model's checkpoint lacks and each run draws, where it is on this machine.

    Raises WeightsError where its weights cannot be read.
    """
    if isinstance(model, Network) or model.pooling not in (None, "pooler"):
        return ()  # a head on pooled states reads no such module
    architecture = ARCHITECTURES.get(str(model.configuration.get("model_type")))
    if architecture is None:
        return ()
    if isinstance(model, RandomModel):  # its body is made whole
        return tuple(path for path in architecture.optional if "." not in path)
    if not (files := local_files(model.source)):
        return ()
    shapes = stored_shapes(files)
    return tuple(path for path in architecture.optional if not _holds(shapes, path.split(".")[-1]))


def _holds(shapes: Mapping[str, Shape], module: str) -> bool:
    return any(module in name.split(".") for name in shapes)


def _lost_heads(shapes: Mapping[str, Shape], architecture: Architecture) -> list[str]:
    """The modules of the head that the file has no weight of."""
    return [module for module in architecture.head if not _holds(shapes, module)]


def _body_problems(shapes: Mapping[str, Shape], configuration: Mapping[str, Any]) -> Iterator[str]:
    """More or fewer blocks than the configuration has, and layers of another shape."""
    shape = describe(configuration)
    architecture = shape.architecture
    if len(architecture.keys.layers) > 1:
        return  # how many blocks each stack has stands under keys that differ
    block = re.compile(rf"{architecture.block}(?=\.)")
    found = {match[0] for name in shapes if (match := block.match(name))}
    if found and len(found) != shape.blocks:
        (key,) = architecture.keys.layers
        yield (
            f"the weights are those of {len(found)} blocks, config.json has {key}: "
            f"{shape.blocks}; allowed: as many in both"
        )
    yield from _wrong_vocabulary(shapes, architecture, configuration.get("vocab_size"))
    if architecture.fused:
        return  # their weights are stored in another order than (out, in)
    for role, sizes in shape.sizes.items():
        wanted = tuple(reversed(sizes[0]))
        yield from _wrong_shapes(shapes, rf"{architecture.roles[role]}\.weight", wanted)


def _wrong_vocabulary(
    shapes: Mapping[str, Shape], architecture: Architecture, rows: Any
) -> Iterator[str]:
    pattern = rf"{architecture.embeddings}\.weight"
    name = next((name for name in sorted(shapes) if re.fullmatch(pattern, name)), None)
    if name and isinstance(rows, int) and shapes[name][:1] != (rows,):
        allowed = "allowed: the same in both"
        yield f"{name} is {shapes[name]}, config.json has vocab_size: {rows}; {allowed}"


def _wrong_shapes(shapes: Mapping[str, Shape], pattern: str, wanted: Shape) -> Iterator[str]:
    """The first layer of a role whose shape is another than its configuration's sizes give."""
    names = (name for name in sorted(shapes) if re.fullmatch(pattern, name))
    wrong = next((name for name in names if shapes[name] != wanted), None)
    if wrong:
        allowed = "allowed: the same in both"
        yield f"{wrong} is {shapes[wrong]}, config.json asks for {wanted}; {allowed}"
