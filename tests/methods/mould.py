"""Copies of one module, made two to six times as fast as by `deepcopy`."""

import io
import pickle
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from finegrid.models.anatomy import Anatomy


class Mould:
    """Holds a module, from which equal ones are cast."""

    def __init__(self, module: nn.Module) -> None:
        stream = io.BytesIO()
        pickler = _Pickler(stream)
        pickler.dump(module)
        self._tensors = pickler.tensors
        self._rest = stream.getvalue()

    def cast(self) -> nn.Module:
        """A copy that shares no tensor with the module; what is tied in it is tied in the copy."""
        made: nn.Module = _Unpickler(io.BytesIO(self._rest), deepcopy(self._tensors)).load()
        return made


class _Pickler(pickle.Pickler):
    """Writes everything but tensors and anatomies, which it keeps by number."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, pickle.HIGHEST_PROTOCOL)
        self.tensors: list[torch.Tensor | Anatomy] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, torch.Tensor | Anatomy):
            return None
        if id(obj) not in self._numbers:
            self._numbers[id(obj)] = len(self.tensors)
            self.tensors.append(obj)
        return self._numbers[id(obj)]


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, tensors: list[torch.Tensor | Anatomy]) -> None:
        super().__init__(stream)
        self._tensors = tensors

    def persistent_load(self, pid: int) -> torch.Tensor | Anatomy:
        return self._tensors[pid]
