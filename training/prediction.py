"""`python -m training.prediction`: peak memory of training steps, predicted without running them.

One optimizer step is traced on tensors that have shapes and no numbers, and the bytes of the
storages that are alive are counted after every operation, as the probe of a run measures them.
What an operation takes for itself alone is not seen. A gradient that comes by two paths is summed
in a new tensor here, and in place in a run: the peak may be too large by one of that size.
"""

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

from methods.registry import METHODS
from records.prediction import Prediction, Question
from records.prepared import VECTOR_COLUMNS, PreparedTask
from records.result import Memory
from records.specification import Network, Specification
from tasks.registry import TASKS
from training.data import Examples, TextExamples, VectorExamples
from training.loop import Step, Trainer
from training.models import override_dropout
from training.network import LinearStack
from training.optimization import make_optimizer

_CUDA_BLOCK_BYTES = 512
"""The allocator of CUDA rounds every tensor up to a multiple of this."""
_STEPS = 2
"""The first step makes the optimizer's state, the second is the one that repeats."""


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operations make, from their making to their end."""

    def __init__(self, rounding: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._rounding = rounding
        self._known = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The operation as it is; what it returns is counted."""
        returned = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._count, returned)
        return returned

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        size = -(-storage.nbytes() // self._rounding) * self._rounding
        self._known[storage] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.live -= size


def predict(question: Question) -> Prediction:
    """The peak of one optimizer step of the run; a step that cannot be traced has none."""
    try:
        return Prediction(peak_bytes=_trace(question.spec, question.batch))
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        return Prediction(peak_bytes=None, reason=f"not predictable: {text}")


def with_prediction(memory: Memory, spec: Specification) -> Memory:
    """What was measured of a run, with what a trace of the same micro-batch predicts beside it."""
    found = predict(Question(spec=spec, batch=memory.batch))
    return memory.model_copy(
        update={"predicted_peak_bytes": found.peak_bytes, "predicted_reason": found.reason}
    )


def _trace(spec: Specification, batch: tuple[int, int]) -> int:
    if spec.training.strategy == "fsdp":
        raise NotImplementedError("what fsdp gathers at a time is not traced")
    with FakeTensorMode(), _without_older_objects():
        # As in the probe, the examples are there before anything is counted.
        examples = _examples(spec, batch)
        return _trace_step(spec, examples)


@contextmanager
def _without_older_objects() -> Iterator[None]:
    """Let the collector pass over what is there already: the libraries' objects are millions."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _trace_step(spec: Specification, examples: Examples) -> int:
    rounding = _CUDA_BLOCK_BYTES if spec.training.device == "cuda" else 1
    meter = LiveBytes(rounding)
    with meter:
        trainer = _trainer(spec, examples)
        optimizer = make_optimizer(trainer.model, trainer.training)
        step = Step(trainer)
        trainer.model.train()
        for _ in range(_STEPS):
            gc.collect()
            meter.peak = meter.live
            step.forward().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            # What devices exchange gradients in stays between steps.
            optimizer.zero_grad(set_to_none=spec.training.devices == 1)
        return meter.peak


def _trainer(spec: Specification, examples: Examples) -> Trainer:
    """What trains the run on these examples."""
    task = _task(spec)
    model = _blank_model(spec, len(task.labels) or 1)
    method = METHODS.build(spec.variant.method, spec.variant.settings)
    method.apply(model, torch.Generator())
    # The device is a name here: the same operations make the same tensors on each.
    training = spec.training.model_copy(update={"device": "cpu"})
    return Trainer(model, task, {"train": examples}, training, log=lambda event: None)


def _task(spec: Specification) -> PreparedTask:
    """What training asks of a task, which is known before it is prepared."""
    task = TASKS.build(spec.task.task, spec.task.options)
    return PreparedTask.model_construct(kind=task.kind, labels=task.labels, metrics=task.metrics)


def _blank_model(spec: Specification, outputs: int) -> nn.Module:
    """The base model with its head, without weights."""
    if isinstance(spec.model, Network):
        return LinearStack(spec.model.layers)
    from transformers import AutoConfig, AutoModelForSequenceClassification

    options = dict(spec.model.configuration)
    config = AutoConfig.for_model(str(options.pop("model_type")), **options)
    config.num_labels = outputs
    if spec.training.dropout is not None:
        override_dropout(config, spec.training.dropout)
    model: nn.Module = AutoModelForSequenceClassification.from_config(
        config, dtype=torch.float32, attn_implementation="sdpa", trust_remote_code=False
    )
    return model


def _examples(spec: Specification, batch: tuple[int, int]) -> Examples:
    """As many examples as the micro-batch has, each as long as it is padded."""
    task, (count, length) = _task(spec), batch
    ids = [str(number) for number in range(count)]
    labels = torch.zeros(count, dtype=torch.long if task.labels else torch.float32)
    if task.kind in VECTOR_COLUMNS and isinstance(spec.model, Network):
        return VectorExamples(ids, labels, torch.zeros(count, spec.model.layers[0]))
    rows = [[0] * length] * count
    return TextExamples(ids, labels, {"input_ids": rows, "attention_mask": rows}, pad=0)


def main() -> int:
    """Questions on stdin, one a line as JSON; their predictions on stdout, in the same order."""
    from transformers import logging

    logging.set_verbosity_error()
    for line in sys.stdin:
        prediction = predict(Question.model_validate_json(line))
        sys.stdout.write(prediction.model_dump_json() + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
