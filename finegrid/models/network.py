"""The plain stack of linear layers."""

from itertools import pairwise
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import nn


class Output(NamedTuple):
    """What a model with a head returns, named as in transformers."""

    logits: torch.Tensor


class LinearStack(nn.Module):
    """h_0 = x, h_i = ReLU(W_i h_{i-1} + b_i), logits = W h + b for widths (in, ..., out).

    `body` holds all layers but the last, `head` the last. Of two widths, the head is all there is.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type="linear-stack", layers=list(widths))
        self.body = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths[:-1]))
        self.head = nn.Linear(widths[-2], widths[-1])

    def _init_weights(self, module: nn.Linear) -> None:
        """Draw a layer's values, as the library's own models do under this name."""
        module.reset_parameters()

    def forward(self, features: torch.Tensor) -> Output:
        """Logits (batch, out) of features (batch, in)."""
        hidden = features
        for layer in self.body:
            hidden = torch.relu(layer(hidden))
        return Output(self.head(hidden))
