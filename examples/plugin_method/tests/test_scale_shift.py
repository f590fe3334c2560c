"""What the contract tests cannot know: the equation itself, on numbers small enough to check."""
# ruff: noqa: S101

from types import SimpleNamespace

import torch
from finegrid_scale_shift import ScaleShift
from torch import nn


class Stack(nn.Module):
    """A network of one layer and a head, as finegrid knows it."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type="linear-stack")
        self.body = nn.ModuleList([nn.Linear(2, 2, bias=bias)])
        self.head = nn.Linear(2, 2)


def first(model: nn.Module) -> nn.Linear:
    """Its layer, y = W x + b with W = ((1, 2), (3, 4)) and b = (10, 20)."""
    layer = model.get_submodule("body.0")
    assert isinstance(layer, nn.Linear)
    layer.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    if layer.bias is not None:
        layer.bias.data = torch.tensor([10.0, 20.0])
    return layer


def changed(model: nn.Module) -> nn.Linear:
    """The layer with gamma = (2, -1), and beta = (5, 7) where it has one."""
    layer = first(model)
    ScaleShift().apply(model, torch.Generator())
    tensors = layer.get_submodule("scale_shift")
    for name, values in {"gamma": [2.0, -1.0], "beta": [5.0, 7.0]}.items():
        if hasattr(tensors, name):
            getattr(tensors, name).data = torch.tensor(values)
    return layer


def test_outputs_are_scaled_and_shifted_also_after_the_merge() -> None:
    """W (1, 1) + b = (13, 27), which becomes (2 * 13 + 5, -27 + 7)."""
    model = Stack(bias=True)
    layer = changed(model)
    assert layer(torch.ones(2)).tolist() == [31.0, -20.0]
    ScaleShift().merge(model)
    assert layer(torch.ones(2)).tolist() == [31.0, -20.0]
    assert (layer.weight.tolist(), layer.bias.tolist()) == ([[2, 4], [-3, -4]], [25, -13])


def test_a_layer_without_a_bias_is_scaled_alone() -> None:
    """W (1, 1) = (3, 7), which becomes (2 * 3, -7)."""
    model = Stack(bias=False)
    assert ScaleShift().expected_parameters(model) == 2 + 6
    layer = changed(model)
    assert layer(torch.ones(2)).tolist() == [6.0, -7.0]
    ScaleShift().merge(model)
    assert layer(torch.ones(2)).tolist() == [6.0, -7.0]
    assert layer.bias is None
