"""What the files of a checkpoint say before anything is loaded. Loads no torch.

The names and shapes of the weights stand in the headers of their files. What only the library
knows, such as names that it converts, is left to the preparation of the model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from finegrid.models.anatomy import Anatomy
from finegrid.prepare.gguf_file import GgufError, gguf_name
from finegrid.prepare.onnx_file import OnnxError, has_package, onnx_name
from finegrid.prepare.onnx_weights import input_first, read_weights
from finegrid.prepare.sources import SourceError, local_files
from finegrid.records.labels import kept_head_problem
from finegrid.records.specification import (
    Checkpoint,
    Model,
    RandomModel,
    Source,
    keeps_head,
)
from finegrid.records.weights import Shape, WeightsError, stored_shapes

ADAPTER_FILE = "adapter_config.json"
"""Makes the library load more weights than the model's own."""
OTHER_WEIGHTS = "transformers_weights"
"""The key of a configuration that makes the library load another file."""
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""What the library's configurations call the number of blocks."""


def problems(model: Checkpoint, anatomy: Anatomy | None) -> Iterator[str]:
    """What is wrong with the weights of a model on this machine, as far as their headers tell.

    Without an anatomy there is nothing that they could be held against.
    """
    try:
        files = layout_files(model.source)
        lacks_package = onnx_name(model.source) is not None and not has_package()
    except (SourceError, GgufError, OnnxError, OSError):
        return  # noted where the source is checked
    if not files or lacks_package:
        return
    try:
        check_files(files, model.configuration)
        shapes = _shapes(model.source, files, anatomy)
    except (WeightsError, OSError) as error:
        yield str(error)
        return
    if anatomy is None:
        return
    yield from body_problems(shapes, anatomy, model)
    if keeps_head(model) and (lost := _lost_heads(shapes, anatomy)):
        yield f"head: keep, and the checkpoint has no {', '.join(lost)}; allowed: head: new"


def layout_files(source: Source) -> dict[str, Path]:
    """The files of a model on this machine, in the transformers layout; empty elsewhere.

    The weights may be an ONNX file. A GGUF file is none of them: it is read when it is converted.
    Raises SourceError and OSError, and GgufError for a source with GGUF files that is refused.
    """
    return {} if gguf_name(source) else local_files(source)


def check_files(files: Mapping[str, Path], configuration: Mapping[str, Any]) -> None:
    """Raise WeightsError for files that make the library load other weights than the model's."""
    if ADAPTER_FILE in files:
        raise WeightsError(f"{ADAPTER_FILE} adds other weights; allowed: none such")
    if other := configuration.get(OTHER_WEIGHTS):
        raise WeightsError(
            f"config.json: {OTHER_WEIGHTS}: {other!r} names other weights; allowed: no such key"
        )


def head_problem(model: Model, labels: Sequence[str], width: int) -> str | None:
    """Why a head that is to be kept does not fit a task of those labels, as far as is known.

    `width` is how many outputs the task takes.
    """
    if not isinstance(model, Checkpoint) or not keeps_head(model):
        return None
    unknown = model.source.uri.startswith("hub:") and "id2label" not in model.configuration
    return None if unknown else kept_head_problem(model.configuration, labels, width)


def drawn_modules(model: Model, anatomy: Anatomy) -> tuple[str, ...]:
    """The modules that a model's checkpoint lacks and each run draws, where it is on this machine.

    Raises WeightsError where its weights cannot be read.
    """
    if isinstance(model, RandomModel):  # its body is made whole
        return tuple(path for path in anatomy.optional if "." not in path)
    if not isinstance(model, Checkpoint) or not (files := layout_files(model.source)):
        return ()
    shapes = _shapes(model.source, files, anatomy)
    return tuple(path for path in anatomy.optional if not _holds(shapes, path.split(".")[-1]))


def _shapes(
    source: Source, files: Mapping[str, Path], anatomy: Anatomy | None
) -> Mapping[str, Shape]:
    """Name -> shape of every weight in a model's files. Raises WeightsError."""
    if name := onnx_name(source):
        weights = read_weights(files[name], input_first(anatomy))
        return {key: weight.shape for key, weight in weights.items()}
    return stored_shapes(files)


def _holds(shapes: Mapping[str, Shape], module: str) -> bool:
    return any(module in name.split(".") for name in shapes)


def _lost_heads(shapes: Mapping[str, Shape], anatomy: Anatomy) -> list[str]:
    """The modules of the head that the file has no weight of."""
    return [path for path in anatomy.head if not _holds(shapes, path.split(".")[-1])]


class _Sizes(NamedTuple):
    """What a configuration says of sizes, and what it is called."""

    configuration: Mapping[str, Any]
    file: str

    def layers(self, count: int) -> str:
        """What asks for so many blocks."""
        keys = [key for key in _LAYERS if self.configuration.get(key) == count]
        return f"{self.file} has {keys[0]}: {count}" if keys else f"{self.file} asks for {count}"

    def shape(self, wanted: Shape, found: Shape) -> str:
        """What asks for a shape: the first key that says a size in which the one found differs."""
        sizes = [one for one in wanted if one not in found]
        numbers = ((key, one) for key, one in self.configuration.items() if type(one) is int)
        said = next((f" by {key}: {one}" for key, one in numbers if one in sizes), "")
        return f"{self.file} asks for {wanted}{said}"


def body_problems(
    shapes: Mapping[str, Shape], anatomy: Anatomy, model: Checkpoint
) -> Iterator[str]:
    """More or fewer blocks than the configuration has, and layers of another shape."""
    if len(anatomy.stacks) != 1:
        return  # how many blocks each stack has stands under keys that differ
    file = "configuration" if model.source.lacks_configuration else "config.json"
    sizes = _Sizes(model.configuration, file)
    ((stack, count),) = anatomy.stacks.items()
    pattern = re.escape(stack).replace(r"\*", r"\d+")
    block = re.compile(rf"(.+\.)?{pattern}\.\d+(?=\.)")
    found = {(match[1], match[0]) for name in shapes if (match := block.match(name))}
    # Beside the model a file may hold fewer blocks that the library passes over, but no others.
    if found and list(Counter(before for before, _ in found).values()).count(count) != 1:
        allowed = "allowed: as many in both"
        yield f"the weights are those of {len(found)} blocks, {sizes.layers(count)}; {allowed}"
    before = anatomy.blocks[0].path.removesuffix(f"{stack}.0")
    yield from _wrong_shapes(shapes, anatomy, before, sizes)


def _by_end(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """Every end of a name, as of whole names with dots -> the first such name of a weight."""
    ends: dict[str, str] = {}
    for name in sorted(shapes):
        parts = name.split(".")
        for start in range(len(parts)):
            ends.setdefault(".".join(parts[start:]), name)
    return ends


def _wrong_shapes(
    shapes: Mapping[str, Shape], anatomy: Anatomy, before: str, sizes: _Sizes
) -> Iterator[str]:
    """A table of tokens of other rows, and the first layer of each role of another shape.

    Of layers that hold several roles, or are kept in another order than (out, in), none.
    """
    ends, allowed, told = _by_end(shapes), "allowed: the same in both", set[str]()
    rows = sizes.configuration.get("vocab_size")
    if anatomy.embeddings and isinstance(rows, int):
        name = ends.get(f"{anatomy.embeddings.removeprefix(before)}.weight")
        if name and shapes[name][:1] != (rows,):
            yield f"{name} is {shapes[name]}, {sizes.file} has vocab_size: {rows}; {allowed}"
    for part in anatomy.parts:
        name = ends.get(f"{part.path.removeprefix(before)}.weight")
        wanted = (part.out_features, part.in_features)
        if part.stored != "linear" or part.outputs or not name or part.role in told:
            continue
        if shapes[name] != wanted:
            told.add(part.role)
            asked = sizes.shape(wanted, shapes[name])
            yield f"{name} is {shapes[name]}, {asked}; {allowed}"
