"""W = L G: a frozen factor and a trained one, as the article reads low-rank adaptation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue

from finegrid.models.anatomy import Anatomy
from finegrid.models.coverage import refusal
from finegrid.models.layers import Layer, linear_layers
from methods.contract import Method, above
from methods.injection import (
    add_constants,
    add_drawn,
    add_parameters,
    added,
    change_output,
    remove,
)
from methods.peft_form import NoPeftFormError, PeftForm, low_rank
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


@register("lg")
@dataclass(frozen=True)
class LG(Method):
    """A frozen L (out, r) times a trained G (r, in), in one of three readings.

    - start svd, residual: W = R + L G with L = U_r S_r^(1/2), G_0 = S_r^(1/2) V_r^T from the
      truncated singular value decomposition (Eckart and Young 1936) and R = W - L G_0 frozen. It
      is computed as W x + L (G - G_0) x, which is W x to the bit at the start.
    - start gaussian: W x + L G x with L drawn from N(0, 1 / r) and G from zero, as in LoRA-FA
      with the factors' roles exchanged (Zhang et al. 2023, arXiv:2308.03303).
    - start svd, no residual: L G x is all that is left of W x, the literal form; the function is
      that of the best rank-r approximation at the start.

    L and G_0 are not stored: the base's W gives them again, or the seed that drew L.
    """

    paper: ClassVar[str] = "the article's W = L G; Eckart and Young 1936, doi:10.1007/BF02288367"
    mergeable: ClassVar[bool] = True
    groups: ClassVar[tuple[str, ...]] = ("G",)

    rank: Annotated[int, Field(ge=1)] = 8
    start: Literal["svd", "gaussian"] = "svd"
    residual: bool = True
    """Whether what rank r leaves of W is kept."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("q", "v")
    """Roles of the factored layers; [all] stands for every linear layer."""

    @property
    def identity_at_start(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        """Only the form without the residual changes the function."""
        return self.residual

    @property
    def draws(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        """A decomposition is what it is."""
        return self.start == "gaussian"

    @property
    def quantised_problem(self) -> str | None:
        """A start from the base's singular values: it factors W, or takes W's place."""
        factored = "the method factors the numbers of W, which codes have lost (start svd)"
        return factored if self.start == "svd" else None

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """Targeted roles that the model lacks, or keeps in other ways than as linear layers."""
        return refusal(anatomy, self.targets)

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """A rank above the layer's, or a form in which nothing of W would be left."""
        yield from above("rank", self.rank, anatomy.largest_rank(self.targets))
        if self.start == "gaussian" and not self.residual:
            yield "residual: false leaves nothing of W with start gaussian; allowed: start svd"

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Factor every targeted layer."""
        import torch

        for layer in linear_layers(model, self.targets):
            name = layer.child("lg")
            if self.start == "gaussian":
                right = torch.zeros(self.rank, layer.in_features)
                add_parameters(layer.module, name, {"G": right})
                draws = {"L": partial(_draw, layer.out_features, self.rank)}
                add_drawn(layer.module, name, draws, generator)
            else:
                left, right = _factors(layer.weight().detach().float(), self.rank)
                add_parameters(layer.module, name, {"G": right})
                kept = {"G0": right.clone()} if self.residual else {}
                add_constants(layer.module, name, {"L": left} | kept)
            if not self.residual:
                with torch.no_grad():
                    layer.set_weight(torch.zeros_like(layer.weight()))
            change_output(layer.module, name, partial(_add_product, layer=layer, name=name))

    def body_parameters(self, model: nn.Module) -> int:
        """Sum over the targeted layers of r in."""
        return sum(self.rank * layer.in_features for layer in linear_layers(model, self.targets))

    def merge(self, model: nn.Module) -> None:
        """W <- W + L (G - G_0), or W <- L G."""
        import torch

        with torch.no_grad():
            for layer in linear_layers(model, self.targets):
                name = layer.child("lg")
                tensors: Any = added(layer.module, name)
                layer.add(tensors.L @ _trained(tensors))
                remove(layer.module, name)

    def peft_form(self, model: nn.Module) -> PeftForm:
        """LoRA of scale 1 with A = G, or G - G_0, and B = L.

        Raises NoPeftFormError for the form in which L G takes W's place.
        """
        if not self.residual:
            raise NoPeftFormError("L G takes the place of W (residual: false), and peft adds to W")
        config: dict[str, JsonValue] = {"r": self.rank, "lora_alpha": self.rank}
        return low_rank(model, self.targets, _pair, config)


def _pair(layer: Layer) -> tuple[torch.Tensor, torch.Tensor]:
    """The two factors of what is added to W x: G or G - G_0, and L."""
    tensors: Any = added(layer.module, layer.child("lg"))
    return _trained(tensors), tensors.L


def _draw(rows: int, rank: int, generator: torch.Generator) -> torch.Tensor:
    import torch

    return torch.empty(rows, rank).normal_(std=1 / math.sqrt(rank), generator=generator)


def _factors(weight: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """U_r S_r^(1/2) and S_r^(1/2) V_r^T, the same ones whichever library decomposes.

    A pair of singular vectors is given up to its sign: the largest element of u is positive.
    """
    import torch

    u, s, v = torch.linalg.svd(weight, full_matrices=False)
    signs = u.gather(0, u.abs().argmax(0, keepdim=True)).sign()[0, :rank]
    root = s[:rank].sqrt()
    left, right = u[:, :rank] * (signs * root), (signs * root)[:, None] * v[:rank]
    return left.contiguous(), right.contiguous()


def _trained(tensors: Any) -> torch.Tensor:
    trained: torch.Tensor = tensors["G"]
    return trained - tensors.G0 if hasattr(tensors, "G0") else trained


def _add_product(
    module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor, layer: Layer, name: str
) -> torch.Tensor:
    tensors: Any = added(module, name)
    x = inputs[0]  # (..., in)
    inner = _trained(tensors) @ x.reshape(-1, x.shape[-1]).T  # (r, tokens)
    return layer.add_product(output, tensors.L, inner)
