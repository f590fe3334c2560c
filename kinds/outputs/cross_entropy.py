"""What outputs share that are learnt by a cross-entropy, whose targets may be smoothed."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from kinds.contract import Batch, Output

if TYPE_CHECKING:
    import torch
    from torch import nn


class CrossEntropy(Output):
    """An output that is learnt by the cross-entropy of classes, such as the tokens of a text.

    With a smoothing s the target of K classes is 1 - s + s / K for the true one and s / K for every
    other (Szegedy et al. 2016, arXiv:1512.00567, section 7), as in torch's own `cross_entropy`.
    """

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """See the contract; of targets as they are."""
        return self.smoothed_loss(model, batch, 0.0)

    @abstractmethod
    def smoothed_loss(self, model: nn.Module, batch: Batch, smoothing: float) -> torch.Tensor:
        """The same of smoothed targets, of which each term of the loss has one."""


def training_loss(output: Output, model: nn.Module, batch: Batch, smoothing: float) -> torch.Tensor:
    """The loss () that training takes the gradient of, summed over all terms of the batch.

    Raises ValueError for a smoothing of what is learnt by another loss.
    """
    if not smoothing:
        return output.loss(model, batch)
    if not isinstance(output, CrossEntropy):
        kind = type(output).__name__
        raise ValueError(
            f"label_smoothing: {smoothing} of {kind}, which is learnt by no cross-entropy; "
            "allowed: 0"
        )
    return output.smoothed_loss(model, batch, smoothing)


def summed(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross-entropy () of logits (examples, classes) and labels (examples,), summed."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)


def summed_of_present(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """The same where each example has classes of its own: others have a logit of minus infinity.

    What is smoothed goes to the classes that an example has.
    """
    if not smoothing:
        return summed(logits, labels, smoothing)
    present = ~logits.isneginf()
    likelihoods = logits.log_softmax(dim=1)
    uniform = likelihoods.masked_fill(~present, 0).sum(dim=1) / present.sum(dim=1)
    true = likelihoods.gather(1, labels[:, None])[:, 0]
    return -((1 - smoothing) * true + smoothing * uniform).sum()
