"""Prefix tuning: trained keys and values before those of the sequence, in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from pydantic import Field

from finegrid.models.anatomy import Anatomy
from finegrid.models.live import anatomy_of
from methods.contract import Method
from methods.injection import add_parameters, added, change_input, remove
from methods.peft_form import NoPeftFormError, PeftForm
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

_ATTENTION = "finegrid_prefix"
_CHILD = "prefix"
_NOW = "finegrid_prefix_now"
_FLAT, _MLP = ("key", "value"), ("E", "W1", "b1", "W2", "b2")
"""What is trained of a flat prefix, and of one that comes from an MLP."""
_UNLIKE = "its attention has keys of different sizes"


@register("prefix")
@dataclass(frozen=True)
class Prefix(Method):
    """Prefix tuning, Li and Liang 2021, equation 3.

    Attention of every layer runs over [P_k; K] and [P_v; V], with P_k and P_v of shape
    (heads, length, head size) trained and all else frozen. Flat, P is trained itself. With
    `reparametrisation` m (section 4.3), P = W_2 tanh(W_1 E + b_1) + b_2 with E (length, d),
    W_1 (m, d) and W_2 (2 layers d, m), d the width of a layer's keys; only P is kept in the end.
    """

    paper: ClassVar[str] = "Li and Liang 2021, arXiv:2101.00190"
    library_type: ClassVar[str] = "prefix_tuning"
    identity_at_start: ClassVar[bool] = False
    groups: ClassVar[tuple[str, ...]] = (*_FLAT, *_MLP)

    length: Annotated[int, Field(ge=1)] = 20
    """Positions of the prefix."""
    initial_std: Annotated[float, Field(gt=0)] = 0.02
    """Standard deviation of the normal distribution that P, or E, W_1 and W_2, start from."""
    reparametrisation: Annotated[int, Field(ge=1)] | None = None
    """Width m of the MLP that P comes from in training; null for a flat prefix."""

    @property
    def trained_groups(self) -> tuple[str, ...]:
        """Those of a flat prefix, or of the MLP."""
        return _FLAT if self.reparametrisation is None else _MLP

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """A model whose attention cannot be given more keys."""
        return _reason(anatomy)

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Give every attention module its prefix, and the model the attention that reads it."""
        modules = _attention_modules(model)
        heads, size = _heads(model)
        _register_attention()
        if self.reparametrisation is None:
            for module in modules:
                shape = (heads, self.length, size)
                add_parameters(
                    module,
                    _CHILD,
                    {name: self._draw(generator, *shape) for name in ("key", "value")},
                )
        else:
            add_parameters(model, _CHILD, self._mlp(len(modules), heads * size, generator))
            hook = partial(_unfold, modules=modules, heads=heads)
            change_input(model, _CHILD, hook)
        cast("PreTrainedModel", model).set_attn_implementation(_ATTENTION)

    def body_parameters(self, model: nn.Module) -> int:
        """2 modules length d, or length d + d m + m + (m + 1) 2 modules d."""
        heads, size = _heads(model)
        width = heads * size
        flat = 2 * len(_attention_modules(model)) * width
        if self.reparametrisation is None:
            return flat * self.length
        m = self.reparametrisation
        return self.length * width + width * m + m + (m + 1) * flat

    def finish(self, model: nn.Module) -> None:
        """Put P itself in the place of the MLP that it came from."""
        if self.reparametrisation is None:
            return
        modules, (heads, _) = _attention_modules(model), _heads(model)
        folded = _fold(added(model, _CHILD), len(modules), heads)
        remove(model, _CHILD)
        for module, pair in zip(modules, folded.detach(), strict=True):
            module.__dict__.pop(_NOW, None)
            add_parameters(module, _CHILD, {"key": pair[0].clone(), "value": pair[1].clone()})

    def peft_form(self, model: nn.Module) -> PeftForm:
        """None: peft's prefixes are a cache, which moves the tokens to later positions."""
        raise NoPeftFormError("peft's prefixes move the tokens to later positions")

    def _draw(self, generator: torch.Generator, *shape: int) -> torch.Tensor:
        import torch

        return torch.empty(shape).normal_(std=self.initial_std, generator=generator)

    def _mlp(self, modules: int, width: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        import torch

        m = cast("int", self.reparametrisation)
        return {
            "E": self._draw(generator, self.length, width),
            "W1": self._draw(generator, m, width),
            "b1": torch.zeros(m),
            "W2": self._draw(generator, 2 * modules * width, m),
            "b2": torch.zeros(2 * modules * width),
        }


def _fold(mlp: nn.ParameterDict, modules: int, heads: int) -> torch.Tensor:
    """P as (modules, keys and values, heads, length, head size)."""
    import torch
    from torch.nn import functional

    hidden = torch.tanh(functional.linear(mlp["E"], mlp["W1"], mlp["b1"]))  # (length, m)
    flat = functional.linear(hidden, mlp["W2"], mlp["b2"])  # (length, 2 modules d)
    return flat.view(len(flat), modules, 2, heads, -1).permute(1, 2, 3, 0, 4)


def _unfold(
    model: nn.Module, inputs: tuple[Any, ...], modules: list[nn.Module], heads: int
) -> tuple[Any, ...]:
    """Compute P once a pass and leave each attention module its part."""
    for module, pair in zip(modules, _fold(added(model, _CHILD), len(modules), heads), strict=True):
        module.__dict__[_NOW] = pair
    return inputs


def _heads(model: nn.Module) -> tuple[int, int]:
    """How many heads the keys of a layer have, and the size of each: the same in all layers."""
    (sizes,) = _sizes(anatomy_of(model))
    return sizes


def _reason(anatomy: Anatomy) -> str | None:
    """Why the attention of such a model cannot be given more keys, all of one size."""
    return anatomy.attention_reason or (_UNLIKE if len(_sizes(anatomy)) > 1 else None)


def _sizes(anatomy: Anatomy) -> set[tuple[int, int]]:
    return {(one.key_heads, one.head_size) for one in anatomy.attention}


def _attention_modules(model: nn.Module) -> list[nn.Module]:
    anatomy = anatomy_of(model)
    if reason := _reason(anatomy):
        raise ValueError(reason)
    return [model.get_submodule(one.path) for one in anatomy.attention]


def _register_attention() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(_ATTENTION, _attend)
    AttentionMaskInterface.register(_ATTENTION, _explicit_mask)


def _explicit_mask(*args: Any, **kwargs: Any) -> Any:
    """Always a mask: an implied one would not know of the prefix."""
    from transformers.masking_utils import sdpa_mask

    skips = dict.fromkeys(("allow_is_causal_skip", "allow_is_bidirectional_skip"), False)
    return sdpa_mask(*args, **(kwargs | skips))


def _prefix(module: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    if _NOW in module.__dict__:
        key, value = module.__dict__[_NOW]
        return key, value
    tensors = added(module, _CHILD)
    return tensors["key"], tensors["value"]


def _attend(
    module: nn.Module,
    query: torch.Tensor,  # (batch, heads, sequence, head size)
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # (batch, 1, sequence, sequence), True or 0 where seen
    **kwargs: Any,
) -> Any:
    import torch
    from torch.nn import functional
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    batch = query.shape[0]
    parts = [part.to(key.dtype).expand(batch, -1, -1, -1) for part in _prefix(module)]
    length = parts[0].shape[2]
    if attention_mask is not None:
        seen = attention_mask.dtype == torch.bool  # an additive mask sees where it adds nothing
        attention_mask = functional.pad(attention_mask, (length, 0), value=float(seen))
    elif getattr(module, "is_causal", False) and query.shape[2] > 1:
        raise RuntimeError("causal attention without a mask: the prefix would be hidden")
    if (bias := kwargs.get("position_bias")) is not None:  # a prefix has no position
        kwargs["position_bias"] = functional.pad(bias, (length, 0))
    return sdpa_attention_forward(
        module,
        query,
        torch.cat([parts[0], key], dim=2),
        torch.cat([parts[1], value], dim=2),
        attention_mask,
        **kwargs,
    )
