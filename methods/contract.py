"""The contract that every method of fine-tuning fulfils.

Modules of this room are read by the planner, which loads no torch: they import torch inside the
functions that use it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import ConfigDict

from finegrid.models.anatomy import Anatomy
from finegrid.models.head import head_modules, head_parameters
from finegrid.models.live import anatomy_of
from finegrid.records.training import Weights, is_quantised
from methods.parameters import Category

if TYPE_CHECKING:
    import torch
    from torch import nn

    from methods.peft_form import PeftForm
    from methods.steps import Steps


_HALF_BYTES = 2


class Method(ABC):
    """A way to fine-tune. A subclass is a frozen dataclass whose fields are its hyper-parameters.

    Fields carry their constraints (`Annotated[int, Field(ge=1)]`); the planner checks them. The
    task's head is trained by every method that trains anything, and counted apart.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    paper: ClassVar[str]
    """Where the method was published."""
    library_type: ClassVar[str | None] = None
    """peft's name of the method, where counts published under that name are counts of it."""
    identity_at_start: ClassVar[bool] = True
    """Whether the model computes the same function right after `apply`."""
    draws: ClassVar[bool] = True
    """Whether `apply` draws initial values, so that another seed gives others."""
    mergeable: ClassVar[bool] = False
    """Whether `merge` exists."""
    trains: ClassVar[bool] = True
    """Whether anything is trained, the task's head included; where nothing is, no step is taken."""
    trains_base: ClassVar[bool] = False
    """Whether the base's own matrices are trained, so that gradients and state are as large."""
    unfreezes: ClassVar[frozenset[Category]] = frozenset()
    """Which tensors of the base itself are trained, beside whatever is added."""
    groups: ClassVar[tuple[str, ...]] = ()
    """Names of the tensors that the method adds, each a part of their whole names: they may have
    learning rates of their own, as the task's head may under the name `head`, and trained tables of
    tokens under `tokens`."""
    reads_weights: ClassVar[bool] = False
    """Whether what `apply` adds has a form that numbers of the base decide, beside their shapes:
    processes that share a model then load all of it, each for itself."""

    sharded_problem: ClassVar[str | None] = None
    """Why the model cannot be divided among devices; None where it can."""

    @property
    def trained_groups(self) -> tuple[str, ...]:
        """Those of the groups that these settings train."""
        return self.groups

    @property
    def in_base(self) -> bool:
        """Whether all that is trained beside the head is the base's own: there is nothing to merge
        then, in a model where other methods have something."""
        return False

    @property
    def quantised_problem(self) -> str | None:
        """Why the base's matrices cannot be held in codes, which are read and not written: None
        where all that the method does is beside them."""
        return "the method trains them, and codes have no gradient" if self.trains_base else None

    @property
    def positions(self) -> int:
        """How many of the model's positions the method takes beside those of the text."""
        return 0

    @property
    def largest_token(self) -> int | None:
        """The largest number of a token that the settings name; None where they name none."""
        return None

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """Why the method cannot work on a model of that anatomy, or None where it can."""
        return None

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """Hyper-parameters that are out of range for a model: key, value and what is allowed."""
        return iter(())

    def weights_problem(self, weights: Weights) -> str | None:
        """Why the base cannot be held in that type, with what is allowed; None where it can."""
        if weights == "fp16" and self.trains_base:
            return (
                "the method trains them, and unscaled gradients in fp16 vanish; allowed: fp32, bf16"
            )
        if is_quantised(weights) and (problem := self.quantised_problem):
            return f"{problem}; allowed: {'fp32, bf16' if self.trains_base else 'fp32, bf16, fp16'}"
        return None

    def apply(self, model: nn.Module, generator: torch.Generator) -> None:
        """Freeze the model, add what the method trains, and leave the head trainable.

        The generator (CPU) decides every initial value that the method draws. What is trained is
        fp32, however the base is held, but for a method that trains the base's own matrices.
        """
        anatomy_of(model)  # found before anything is added, which is no part of it
        model.requires_grad_(requires_grad=False)
        self.inject(model, generator)
        for module in head_modules(model):
            module.requires_grad_(requires_grad=self.trains)
        if not self.trains_base:
            _hold_trained(model)

    @abstractmethod
    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Add or unfreeze what the method trains in a model whose parameters are all frozen."""

    @abstractmethod
    def body_parameters(self, model: nn.Module) -> int:
        """Closed form of what is trained outside the head, from the shapes of the plain model."""

    def expected_parameters(self, model: nn.Module) -> int:
        """Closed form of all trainable parameters; the model may be on the meta device."""
        head = sum(parameter.numel() for parameter in head_parameters(model)) if self.trains else 0
        return head + self.body_parameters(model)

    def steps(self, model: nn.Module, count: int) -> Steps | None:
        """What the method does in each of that many steps beside learning; None: nothing.

        Raises ValueError where the steps are too few for it.
        """
        return None

    def finish(self, model: nn.Module) -> None:  # noqa: B027  # most methods keep all of it
        """Drop, after training, what only training needs; the function stays the same."""

    def peft_form(self, model: nn.Module) -> PeftForm:
        """What was trained in this model, as an adapter of the peft library.

        Raises NoPeftFormError where peft has no type that computes the same.
        """
        from methods.peft_form import NoPeftFormError

        raise NoPeftFormError("peft has no such type")

    def merge(self, model: nn.Module) -> None:
        """Fold what was trained into the base weights, in place.

        Raises NotImplementedError where the mathematics does not allow it.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be merged into the base weights")


def _hold_trained(model: nn.Module) -> None:
    """Put what is trained into fp32: in a half type most steps of training would be rounded off."""
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.itemsize == _HALF_BYTES:
            parameter.data = parameter.data.float()


def above(key: str, value: int, largest: int) -> Iterator[str]:
    """The problem of a setting that is above the size of a layer, where it is."""
    if value > largest:
        yield f"{key}: {value} is above the layer's size; allowed: 1 to {largest}"
