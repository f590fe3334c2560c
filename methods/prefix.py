"""Prefix tuning: trained keys and values before those of the sequence, in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from pydantic import Field

from methods.architectures import Shape, architecture_of, modules_matching
from methods.contract import Method
from methods.injection import add_parameters, added
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

_ATTENTION = "finegrid_prefix"


@register("prefix")
@dataclass(frozen=True)
class Prefix(Method):
    """Prefix tuning, Li and Liang 2021, equation 3, in its flat form (section 4.3 without the MLP).

    Attention of every layer runs over [P_k; K] and [P_v; V], with P_k and P_v of shape
    (heads, length, head size) trained and all else frozen.
    """

    paper: ClassVar[str] = "Li and Liang 2021, arXiv:2101.00190"
    identity_at_start: ClassVar[bool] = False

    length: Annotated[int, Field(ge=1)] = 20
    """Positions of the prefix."""
    initial_std: Annotated[float, Field(gt=0)] = 0.02
    """Standard deviation of the normal distribution that P_k and P_v start from."""

    def not_applicable(self, shape: Shape) -> str | None:
        """A model without attention has no keys to extend."""
        return None if shape.has_attention else "the model has no attention"

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Give every attention module its prefix, and the model the attention that reads it."""
        import torch

        modules = _attention_modules(model)
        heads, size = _heads(model)
        _register_attention()
        for module in modules:
            shape = (heads, self.length, size)
            draw = {
                name: torch.empty(shape).normal_(std=self.initial_std, generator=generator)
                for name in ("key", "value")
            }
            add_parameters(module, "prefix", draw)
        cast("PreTrainedModel", model).set_attn_implementation(_ATTENTION)

    def body_parameters(self, model: nn.Module) -> int:
        """2 (keys and values) x attention modules x length x heads x head size."""
        heads, size = _heads(model)
        return 2 * len(_attention_modules(model)) * self.length * heads * size


def _heads(model: nn.Module) -> tuple[int, int]:
    config: Any = model.config
    heads = config.num_attention_heads
    return heads, config.hidden_size // heads


def _attention_modules(model: nn.Module) -> list[nn.Module]:
    pattern = architecture_of(model).attention
    if pattern is None:
        raise ValueError("the model has no attention")
    return list(modules_matching(model, pattern))


def _register_attention() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(_ATTENTION, _attend)
    AttentionMaskInterface.register(_ATTENTION, _explicit_mask)


def _explicit_mask(*args: Any, **kwargs: Any) -> Any:
    """Always a mask: an implied one would not know of the prefix."""
    from transformers.masking_utils import sdpa_mask

    skips = dict.fromkeys(("allow_is_causal_skip", "allow_is_bidirectional_skip"), False)
    return sdpa_mask(*args, **(kwargs | skips))


def _attend(
    module: nn.Module,
    query: torch.Tensor,  # (batch, heads, sequence, head size)
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # (batch, 1, sequence, sequence), True where seen
    **kwargs: Any,
) -> Any:
    import torch
    from torch.nn import functional
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    prefix = added(module, "prefix")
    batch, length = query.shape[0], prefix["key"].shape[1]
    prefix_key, prefix_value = (
        prefix[name].to(key.dtype).expand(batch, -1, -1, -1) for name in ("key", "value")
    )
    if attention_mask is not None:
        attention_mask = functional.pad(attention_mask, (length, 0), value=True)
    return sdpa_attention_forward(
        module,
        query,
        torch.cat([prefix_key, key], dim=2),
        torch.cat([prefix_value, value], dim=2),
        attention_mask,
        **kwargs,
    )
