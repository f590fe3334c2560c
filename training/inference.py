"""Latency of a trained model, with its method beside the weights and merged into them."""

import statistics
import time

import torch
from torch import nn

from methods.contract import Method
from records.result import Inference
from training.batches import evaluation_batches
from training.data import Examples
from training.evaluation import to_device

_REPEATS = 5


def measure_inference(
    model: nn.Module,
    method: Method,
    examples: Examples,
    batch_size: int,
    device: torch.device,
    dtype: str,
) -> Inference:
    """Median seconds of the longest evaluation batch. The model is merged where it can be."""
    batch = evaluation_batches(examples.lengths, batch_size)[0]
    inputs = to_device(examples.inputs(batch), device)
    unmerged = _median_seconds(model, inputs, device, dtype)
    if not method.mergeable:
        reason = "the method cannot be merged into the base weights"
        return Inference(
            batch_examples=len(batch),
            unmerged_seconds=unmerged,
            merged_seconds=None,
            merged_reason=reason,
        )
    method.merge(model)
    merged = _median_seconds(model, inputs, device, dtype)
    return Inference(batch_examples=len(batch), unmerged_seconds=unmerged, merged_seconds=merged)


@torch.no_grad()
def _median_seconds(
    model: nn.Module, inputs: dict[str, torch.Tensor], device: torch.device, dtype: str
) -> float:
    model.eval()
    seconds = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bf16"):
            model(**inputs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])
