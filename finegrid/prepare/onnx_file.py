"""ONNX files: which source names one, and the tensors in its graph. Loads no torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finegrid.records.specification import ONNX_END, Source
from finegrid.records.weights import WeightsError

PACKAGE = "onnx"
MISSING = (
    "an ONNX file is read with the package onnx, which is not installed; "
    "allowed: pip install 'finegrid[onnx]'"
)
_EXTERNAL_ENDS = (f"{ONNX_END}_data", f"{ONNX_END}.data")
_OTHER_WEIGHTS = (".safetensors", ".safetensors.index.json", ".gguf")
_FLOATS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
CODES = ("INT8", "UINT8", "INT16", "UINT16", "INT32")
"""Types of the codes that are de-quantised."""


class OnnxError(WeightsError):
    """An ONNX file that cannot be read, or a source that names more than one file of weights."""


def onnx_name(source: Source) -> str | None:
    """The ONNX file that a source names, by its URI or by its hashes; None where there is none.

    Tokenizer and configuration may lie beside it. Raises OnnxError for a source with several ONNX
    files, with parts of one, or with other weights.
    """
    by_uri = [PurePosixPath(source.uri).name] if source.uri.endswith(ONNX_END) else []
    by_hash = [name for name in source.sha256 if name.endswith(ONNX_END)]
    names = list(dict.fromkeys([*by_uri, *by_hash]))
    if not names:
        return None
    others = [one for one in source.sha256 if one.endswith((*_EXTERNAL_ENDS, *_OTHER_WEIGHTS))]
    if len(names) > 1 or others:
        beside = ", ".join(sorted({*names, *others}))
        raise OnnxError(
            f"{source.uri} names {beside}; allowed: one ONNX file that holds all weights"
        )
    return names[0]


def has_package() -> bool:
    """Whether the package that reads ONNX files is installed."""
    return find_spec(PACKAGE) is not None


def read_graph(path: Path) -> Any:
    """The graph of an ONNX file. Raises OnnxError, also for weights that lie in another file."""
    if not has_package():
        raise OnnxError(MISSING)
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load_model(path, load_external_data=False).graph
    except DecodeError as error:
        line = " ".join(str(error).split())
        raise OnnxError(f"{path.name} is no whole ONNX file: {line}") from error
    if not graph.node:
        raise OnnxError(f"{path.name} is no whole ONNX file: its graph is empty")
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            file = next(one.value for one in tensor.external_data if one.key == "location")
            allowed = "allowed: one file that holds all weights"
            raise OnnxError(f"{path.name} has {tensor.name} in another file, {file}; {allowed}")
    return graph


def type_name(tensor: Any) -> str:
    """What ONNX calls the type of a tensor's numbers, as `FLOAT`."""
    from onnx import TensorProto

    return str(TensorProto.DataType.Name(tensor.data_type))


def holds_numbers(tensor: Any) -> bool:
    """Whether a tensor holds floating-point numbers."""
    return type_name(tensor) in _FLOATS


def values(tensor: Any) -> NDArray[Any]:
    """The values of a tensor, in its own type. Raises OnnxError for one that is cut off."""
    from onnx import numpy_helper

    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        line = " ".join(str(error).split())
        raise OnnxError(f"{tensor.name} is no whole tensor: {line}") from error
