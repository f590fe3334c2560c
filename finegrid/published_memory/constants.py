"""Constants of adapters: what the library makes element by element, and what stays on the host."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def made_at_once() -> Iterator[None]:
    """Let the library make BOFT's matrices in one operation each, and compile nothing.

    It writes permutations row after row, thousands in each layer, and compiles an extension for
    matrices of blocks. The storages are the same.
    """
    from peft.tuners.boft import layer

    writing, compiling = layer.BOFTLayer.perm2mat, layer.get_fbd_cuda
    layer.BOFTLayer.perm2mat = _permutation
    layer.get_fbd_cuda = _BlockDiagonal
    try:
        yield
    finally:
        layer.BOFTLayer.perm2mat, layer.get_fbd_cuda = writing, compiling


def _permutation(_layer: nn.Module, rows: Sequence[int]) -> torch.Tensor:
    """A matrix of that many rows and columns, without its numbers."""
    return torch.zeros(len(rows), len(rows))


class _BlockDiagonal:
    """The extension's functions, without numbers: blocks (n, d, h, h) in matrices (n, dh, dh)."""

    def forward(self, blocks: torch.Tensor) -> list[torch.Tensor]:
        matrices, count, size, _ = blocks.shape
        return [blocks.new_zeros(matrices, count * size, count * size)]

    def backward(self, _gradient: torch.Tensor, blocks: torch.Tensor) -> list[torch.Tensor]:
        return [torch.zeros_like(blocks)]


def left_on_host(model: nn.Module) -> Iterator[torch.Tensor]:
    """The buffers of adapters that stay where they are made, on the host.

    The library moves what an adapter keeps by its name in dictionaries to the device of the base
    layer (`BaseTunerLayer._move_adapter_to_device_of_base_layer`), and no buffer of the layer's
    own: a pass copies it to the device.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            yield from module.buffers(recurse=False)
