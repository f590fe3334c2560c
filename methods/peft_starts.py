"""Starts of the bridge's low-rank types that move a part of the base into what is trained.

With W the base, s the scale and A_0, B_0 what is drawn of W, the frozen weight is W - s B_0 A_0:
PiSSA (Meng et al. 2024, arXiv:2404.02948) and OLoRA (Buyukakyuz 2024, arXiv:2406.01775).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue

from methods.peft_form import INSIDE, NoPeftFormError, PeftForm

if TYPE_CHECKING:
    import torch
    from torch import nn

START = "init_lora_weights"
_KEPT = "finegrid_start"
"""The attribute of a model that holds A_0 and B_0 on the host. No state dict has them."""
_DOWN, _UP = ".lora_A.", ".lora_B."
_OTHER_FORMS = ("use_dora", "rank_pattern", "alpha_pattern")
"""Keys under which the sum of two updates is no update of the same form."""


def keep_start(model: nn.Module, config: Mapping[str, JsonValue]) -> None:
    """Keep A_0 and B_0 beside a model that was just wrapped, where they were taken out of W."""
    start = str(config.get(START)).lower()
    if start == "olora" or start.startswith("pissa"):
        named = model.named_parameters()
        kept = {n: p.detach().clone() for n, p in named if _DOWN in n or _UP in n}
        model.__dict__[_KEPT] = kept


def plain_form(model: nn.Module, form: PeftForm) -> PeftForm:
    """The form beside the base as it was: s (B A - B_0 A_0), of twice the rank.

    Loading draws no start then, which would not be the same one each time. A form of another start
    stays as it is. Raises NoPeftFormError for one whose updates do not add up.
    """
    start: Mapping[str, torch.Tensor] = model.__dict__.get(_KEPT, {})
    if not start:
        return form
    if odd := [key for key in _OTHER_FORMS if form.config.get(key)]:
        raise NoPeftFormError(f"with {odd[0]}, a start in the base is no sum of updates")
    tensors = {
        name: _beside(name, tensor, start[name.removeprefix(INSIDE)])
        for name, tensor in form.tensors.items()
    }
    rank, alpha = form.config["r"], form.config["lora_alpha"]
    if not isinstance(rank, int) or not isinstance(alpha, int | float):
        raise NoPeftFormError(f"r: {rank} and lora_alpha: {alpha} are no numbers")
    wider = math.sqrt(2) if form.config.get("use_rslora") else 2
    config = {**form.config, "r": 2 * rank, "lora_alpha": wider * alpha, START: True}
    return PeftForm(config, tensors)


def _beside(name: str, trained: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """[A; A_0] along the rank, or [B, -B_0]."""
    import torch

    first = start.to(trained.device, trained.dtype)
    return torch.cat([trained, first]) if _DOWN in name else torch.cat([trained, -first], dim=1)
