"""Latency of a trained model, timed in turns with the plain base model in the same process."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import nn

from finegrid.models.quantised import is_held_quantised
from finegrid.records.costs import Inference
from finegrid.training.batches import evaluation_batches
from finegrid.training.data import Examples
from methods.contract import Method

WARM_UP_ROUNDS = 1
FEWEST_ROUNDS, MOST_ROUNDS = 9, 101
BUDGET_SECONDS = 2.0
"""What the rounds of one model may take before there are more than the fewest."""
_Forward = Callable[[nn.Module], torch.Tensor]
_Timer = Callable[[nn.Module], float]


@dataclass(frozen=True)
class _Timing:
    """The seconds of a model and of the base in each round; the base's are none without one."""

    model: list[float]
    base: list[float]

    @property
    def ratios(self) -> tuple[float, ...]:
        """The model's seconds to the base's, round by round."""
        pairs = zip(self.model, self.base, strict=True) if self.base else ()
        return tuple(one / other for one, other in pairs)

    @property
    def ratio(self) -> float | None:
        """Their median."""
        return median(self.ratios) if self.base else None


def measure_inference(
    model: nn.Module,
    base: nn.Module | None,
    method: Method,
    examples: Examples,
    batch_size: int,
    device: torch.device,
    dtype: str,
) -> Inference:
    """Median seconds of the longest evaluation batch. The model is merged where it can be.

    In each round the model and the plain base model, which has no method, take the batch one after
    the other, the first of them last in the next round: what slows the machine for a while slows
    both, and cancels in their ratio. Rounds that warm up are left out. Without a base there are no
    ratios. A model whose base is held quantised is not merged: it would be held in another way.
    """
    batch = evaluation_batches(examples.sizes, batch_size)[0]
    forward = partial(examples.kind.output.forward, batch=examples.batch(batch).to(device))
    timer = partial(_seconds, forward=forward, device=device, dtype=dtype)
    rounds = _rounds(model, timer)
    unmerged, merged = _timing(model, base, timer, rounds), None
    reason = _unmerged(model, method)
    if reason is None:
        method.merge(model)
        merged = _timing(model, base, timer, rounds)
    of_base = unmerged.base + (merged.base if merged else [])
    return Inference(
        batch_examples=len(batch),
        unmerged_seconds=median(unmerged.model),
        merged_seconds=median(merged.model) if merged else None,
        merged_reason=reason,
        base_seconds=median(of_base) if of_base else None,
        unmerged_to_base=unmerged.ratio,
        merged_to_base=merged.ratio if merged else None,
        unmerged_ratios=unmerged.ratios,
        merged_ratios=merged.ratios if merged else (),
        warm_up_rounds=WARM_UP_ROUNDS,
        rounds=rounds,
    )


def _unmerged(model: nn.Module, method: Method) -> str | None:
    """Why the model is not merged, or None."""
    if not method.mergeable:
        return "the method cannot be merged into the base weights"
    if weights := is_held_quantised(model):
        return f"a merged weight is no longer held in {weights}: export merges into fp32"
    return None


def _rounds(model: nn.Module, timer: _Timer) -> int:
    """As many as the time for them allows: short batches take many, whose single times scatter."""
    timer(model)
    affordable = int(BUDGET_SECONDS / max(timer(model), 1e-9))
    return min(max(FEWEST_ROUNDS, affordable), MOST_ROUNDS)


def _timing(model: nn.Module, base: nn.Module | None, timer: _Timer, rounds: int) -> _Timing:
    taken: dict[nn.Module, list[float]] = {one: [] for one in (model, base) if one is not None}
    for number in range(WARM_UP_ROUNDS + rounds):
        for one in list(taken)[:: -1 if number % 2 else 1]:
            taken[one].append(timer(one))
    ours, theirs = taken[model], [] if base is None else taken[base]
    return _Timing(ours[WARM_UP_ROUNDS:], theirs[WARM_UP_ROUNDS:])


@torch.no_grad()
def _seconds(model: nn.Module, forward: _Forward, device: torch.device, dtype: str) -> float:
    """The wall-clock seconds of one forward pass."""
    model.eval()
    start = time.perf_counter()
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bf16"):
        forward(model)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
