"""VeRA: trained vectors scale a frozen random update that all layers share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, JsonValue

from finegrid.models.anatomy import Anatomy
from finegrid.models.coverage import refusal
from finegrid.models.layers import Layer, linear_layers
from methods.contract import Method
from methods.injection import add_drawn, add_parameters, added, change_output, remove
from methods.peft_form import ADAPTER, INSIDE, NoPeftFormError, PeftForm, by_module, only
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

_CHILD = "vera"


@register("vera")
@dataclass(frozen=True)
class VeRA(Method):
    """Vector-based random matrix adaptation, Kopiczko et al. 2023, equation 2.

    h = W x + diag(b) B diag(d) A x. A (r, in) and B (out, r) are drawn from a Kaiming uniform
    distribution, frozen, and the same for all targeted layers: a smaller layer takes A's first
    columns and B's first rows. b (out,) starts from zero, so that the model starts as it was, and
    d (r,) from `initial`. A and B are not stored: the seed that draws them is (section 3.2).
    """

    paper: ClassVar[str] = "Kopiczko et al. 2023, arXiv:2310.11454"
    library_type: ClassVar[str] = "vera"
    mergeable: ClassVar[bool] = True
    groups: ClassVar[tuple[str, ...]] = ("b", "d")

    rank: Annotated[int, Field(ge=1)] = 256
    initial: Annotated[float, Field(gt=0)] = 0.1
    """What every element of d starts from."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("q", "v")
    """Roles of the layers that get an update; [all] stands for every linear layer."""

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """Targeted roles that the model lacks, or keeps in other ways than as linear layers."""
        return refusal(anatomy, self.targets)

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Give the model A and B, and every targeted layer b and d."""
        import torch

        layers = list(linear_layers(model, self.targets))
        shared = self._share(model, layers, generator)
        for layer in layers:
            name = layer.child(_CHILD)
            b, d = torch.zeros(layer.out_features), torch.zeros(self.rank).fill_(self.initial)
            add_parameters(layer.module, name, {"b": b, "d": d})
            change_output(layer.module, name, partial(_update, layer=layer, shared=shared))

    def body_parameters(self, model: nn.Module) -> int:
        """Sum over the targeted layers of r + out."""
        layers = linear_layers(model, self.targets)
        return sum(self.rank + layer.out_features for layer in layers)

    def merge(self, model: nn.Module) -> None:
        """W <- W + diag(b) B diag(d) A, and what was added is gone."""
        import torch

        shared: Any = added(model, _CHILD)
        with torch.no_grad():
            for layer in linear_layers(model, self.targets):
                vectors = added(layer.module, layer.child(_CHILD))
                down = vectors["d"][:, None] * shared.A[:, : layer.in_features]
                up = vectors["b"][:, None] * shared.B[: layer.out_features]
                layer.add(up @ down)
                remove(layer.module, layer.child(_CHILD))
        delattr(model, _CHILD)

    def peft_form(self, model: nn.Module) -> PeftForm:
        """b and d for each module, and A and B, which peft would draw otherwise.

        Raises NoPeftFormError for fused layers, to which peft gives B's rows by their places.
        """
        found = by_module(model, self.targets)
        layers = [one for each in found.values() for one in each]
        if fused := [path for path, each in found.items() if each[0].part.outputs is not None]:
            raise NoPeftFormError(f"{fused[0]} holds several roles, which peft does not tell apart")
        shared: Any = added(model, _CHILD)
        tensors = {f"base_model.vera_{name}.{ADAPTER}": shared.get_buffer(name) for name in "AB"}
        for path, layer in zip(found, layers, strict=True):
            for name, tensor in added(layer.module, layer.child(_CHILD)).items():
                tensors[f"{INSIDE}{path}.vera_lambda_{name}.{ADAPTER}"] = tensor
        config: dict[str, JsonValue] = {
            "peft_type": "VERA",
            "r": self.rank,
            "d_initial": self.initial,
            "target_modules": only(found),
            "fan_in_fan_out": any(layer.transposed for layer in layers),
        }
        return PeftForm(config, tensors)

    def _share(
        self, model: nn.Module, layers: list[Layer], generator: torch.Generator
    ) -> nn.ParameterDict:
        """A and B, as large as the largest layers need them."""
        width = max(layer.in_features for layer in layers)
        height = max(layer.out_features for layer in layers)
        draws = {"A": partial(_draw, self.rank, width), "B": partial(_draw, height, self.rank)}
        add_parameters(model, _CHILD, {})
        add_drawn(model, _CHILD, draws, generator)
        return added(model, _CHILD)


def _draw(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    import torch
    from torch import nn

    return nn.init.kaiming_uniform_(torch.empty(rows, columns), generator=generator)


def _update(
    module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor, layer: Layer, shared: Any
) -> torch.Tensor:
    import torch
    from torch.nn import functional

    vectors = added(module, layer.child(_CHILD))
    inner = functional.linear(inputs[0], shared.A[:, : layer.in_features])  # (..., r)
    # Products and sums are rounded to the precision of the pass, not the vectors.
    scaled = (inner * vectors["d"]).to(inner.dtype)
    outer = functional.linear(scaled, shared.B[: layer.out_features])  # (..., out)
    shifted = torch.addcmul(output, layer.widen(outer), layer.widen(vectors["b"]))
    return shifted.to(output.dtype)
