"""LoRA: a trained low-rank update beside a frozen weight."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, JsonValue

from finegrid.models.anatomy import Anatomy
from finegrid.models.coverage import refusal
from finegrid.models.layers import Layer, linear_layers
from methods.contract import Method, above
from methods.injection import add_drawn, add_parameters, added, change_output, remove
from methods.peft_form import PeftForm, low_rank
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


@register("lora")
@dataclass(frozen=True)
class LoRA(Method):
    """Low-rank adaptation, Hu et al. 2021, equation 3: h = W x + s B A x.

    W (out, in) is frozen; A (r, in) is drawn from a Kaiming uniform distribution as in the
    authors' code, B (out, r) is zero, so that training starts from the pretrained function. The
    scale s is alpha / r, or alpha / sqrt(r) where it is rank-stabilised (Kalajdzievski 2023,
    arXiv:2312.03732, theorem 3.2). With `freeze_a` B alone is trained, by its
    plain gradient: LoRA-FA, Zhang et al. 2023, arXiv:2308.03303. peft's optimizer of that name
    rescales the gradient as well.
    """

    paper: ClassVar[str] = "Hu et al. 2021, arXiv:2106.09685"
    mergeable: ClassVar[bool] = True
    groups: ClassVar[tuple[str, ...]] = ("A", "B")
    library_type: ClassVar[str | None] = "lora"

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """Numerator of the scale."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability with which an input feature of A is dropped in training."""
    rank_stabilised: bool = False
    """Whether the scale falls with the square root of the rank."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("q", "v")
    """Roles of the layers that get an update; [all] stands for every linear layer."""
    freeze_a: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    """Whether A stays as it was drawn; a seed is then stored in its place."""

    @property
    def trained_groups(self) -> tuple[str, ...]:
        """B alone where A stays."""
        return self.groups[1:] if self.freeze_a else self.groups

    @property
    def scale(self) -> float:
        """alpha / r, or alpha / sqrt(r)."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """Targeted roles that the model lacks, or keeps in other ways than as linear layers."""
        return refusal(anatomy, self.targets)

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """A rank above the smallest dimension of a targeted layer."""
        yield from above("rank", self.rank, anatomy.largest_rank(self.targets))

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Put A and B beside every targeted layer."""
        import torch

        for layer in linear_layers(model, self.targets):
            draw = partial(_drawn, self.rank, layer.in_features)
            up = torch.zeros(layer.out_features, self.rank)
            name = layer.child("lora")
            if self.freeze_a:
                add_parameters(layer.module, name, {"B": up})
                add_drawn(layer.module, name, {"A": draw}, generator)
            else:
                add_parameters(layer.module, name, {"A": draw(generator), "B": up})
            change_output(layer.module, name, partial(self._update, layer=layer, name=name))

    def body_parameters(self, model: nn.Module) -> int:
        """Sum over the targeted layers of r (in + out), or of r out where A stays."""
        layers = linear_layers(model, self.targets)
        sizes = ((0 if self.freeze_a else one.in_features) + one.out_features for one in layers)
        return sum(self.rank * size for size in sizes)

    def merge(self, model: nn.Module) -> None:
        """W <- W + s B A, and A and B are gone."""
        import torch

        with torch.no_grad():
            for layer in linear_layers(model, self.targets):
                name = layer.child("lora")
                factors: Any = added(layer.module, name)
                layer.add(self.scale * (factors.B @ factors.A))
                remove(layer.module, name)

    def peft_form(self, model: nn.Module) -> PeftForm:
        """The factors as they are."""
        config: dict[str, JsonValue] = {
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "use_rslora": self.rank_stabilised,
        }
        power = 0.5 if self.rank_stabilised else 1
        return low_rank(model, self.targets, _factors, config, power=power)

    def _update(
        self,
        module: nn.Module,
        inputs: tuple[Any, ...],
        output: torch.Tensor,
        layer: Layer,
        name: str,
    ) -> torch.Tensor:
        from torch.nn import functional

        factors: Any = added(module, name)
        x = functional.dropout(inputs[0], self.dropout, module.training)  # (..., in)
        inner = self.scale * (factors.A @ x.reshape(-1, x.shape[-1]).T)  # (r, tokens)
        return layer.add_product(output, factors.B, inner)


def _factors(layer: Layer) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B of a layer."""
    tensors: Any = added(layer.module, layer.child("lora"))
    return tensors.A, tensors.B


def _drawn(rank: int, features: int, generator: torch.Generator) -> torch.Tensor:
    """A (r, in), from the distribution of the authors' code."""
    import torch
    from torch import nn

    down = torch.empty(rank, features)
    return nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
