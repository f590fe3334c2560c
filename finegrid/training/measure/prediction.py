"""The command that predicts the peak memory of training steps without running them.

One optimizer step is traced on tensors that have shapes and no numbers, and the bytes of the
storages that are alive are counted after every operation, as the probe of a run measures them: in
two micro-batches where a step has several.
A model that is divided among devices is divided in the trace as well, by the same library.
What an operation takes for itself alone is not seen. A gradient that comes by two paths is summed
in a new tensor here, and in place in a run: the peak may be too large by one of that size.
"""

import gc
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import pyarrow as pa
import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    UnsupportedMutationAliasingException,
    UnsupportedOperatorException,
)
from torch.distributed.device_mesh import DeviceMesh

from finegrid.models.loading import override_dropout
from finegrid.models.network import LinearStack
from finegrid.models.pooling import attention_implementation, classifier_class
from finegrid.models.precision import add_unread, hold, holding
from finegrid.models.pretrained import leave_inputs
from finegrid.models.quantised import quantise
from finegrid.records.costs import Memory
from finegrid.records.prediction import Prediction, Question
from finegrid.records.prepared import PreparedTask
from finegrid.records.specification import Checkpoint, Specification
from finegrid.records.training import Weights, largest_micro_batch, largest_share
from finegrid.training.data import Examples
from finegrid.training.loop import Trainer
from finegrid.training.measure.divided import first_of
from finegrid.training.measure.live import LiveBytes
from finegrid.training.measure.step import Step
from finegrid.training.measure.traces import TRACE, Traces
from finegrid.training.optimization import make_optimizer
from finegrid.training.processes.sharding import shard
from kinds.contract import Batch, Kind
from kinds.registry import kind_named
from methods.registry import METHODS
from tasks.registry import TASKS

_CUDA_BLOCK_BYTES = 512
"""The allocator of CUDA rounds every tensor up to a multiple of this."""
_LIMITS = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedMutationAliasingException,
    UnsupportedOperatorException,
)
"""What is raised where a step can be run and not be traced."""
_LIMIT_WORDS = (
    *("FakeTensor", "fake tensor", "fake impl", "tensor subclass", "data pointer"),
    *("meta tensor", "'Meta' backend", "Couldn't swap"),
)
"""Words of the errors of the same kind that have no class of their own."""
_NOT_PREDICTABLE, _RUN_FAILS = "not predictable", "the run fails"
NOTHING_TRAINED = "nothing is trained: there is no step to measure"
_STEPS = 2
"""The first step makes the optimizer's state, the second is the one that repeats."""
_LONG = 10**9
"""Steps of a training whose length is not known: what a step takes does not depend on it."""


@dataclass(frozen=True)
class Blank(Examples):
    """Examples without values, all of one size, as a trace needs them."""

    size: int = 1
    configuration: Any = None
    """The model's own."""
    terms: int | None = None
    """Of the loss of each example; as many as its size says, unless targets are apart."""

    @property
    def sizes(self) -> list[int]:
        """That size for each."""
        return [self.size] * len(self)

    @property
    def weights(self) -> list[int]:
        """As many terms for each."""
        return [self.terms or self.size] * len(self)

    def batch(self, indices: Sequence[int]) -> Batch:
        """As many of them."""
        inputs = self.kind.inputs.blank(len(indices), self.size, self.configuration)
        return Batch(inputs, self.kind.output.blank(inputs, self.terms or self.size))


class NotTracedError(NotImplementedError):
    """A run whose steps are known not to be traceable."""


class Buckets:
    """What devices exchange gradients in, from step to step, as in DistributedDataParallel.

    While they are due, a gradient that is complete moves into its place there.
    """

    def __init__(self, model: nn.Module) -> None:
        self.are_due = False
        trained = [p for p in model.parameters() if p.requires_grad]
        self._places = {parameter: torch.empty_like(parameter) for parameter in trained}
        for parameter in trained:
            parameter.register_post_accumulate_grad_hook(self._take)  # type: ignore[no-untyped-call]

    def _take(self, parameter: nn.Parameter) -> None:
        if self.are_due:
            parameter.grad = self._places[parameter]


def predict(question: Question) -> Prediction:
    """The peak of one optimizer step of the run; a step that cannot be traced has none.

    An error that is none of tracing itself is one that the run meets as well, unless it may come
    of what the benchmark leaves out of a repository's configuration.
    """
    if not METHODS.get(question.spec.variant.method).trains:
        return Prediction(peak_bytes=None, reason=NOTHING_TRAINED)
    try:
        return Prediction(peak_bytes=_trace(question))
    except Exception as error:
        run_fails = not _is_of_tracing(error) and _is_whole(question.spec)
        found = _RUN_FAILS if run_fails else _NOT_PREDICTABLE
        text = f"{found}: {type(error).__name__}: {error}".splitlines()[0]
        return Prediction(peak_bytes=None, reason=text, run_fails=run_fails)


def _is_whole(spec: Specification) -> bool:
    """Whether the specification has all of the model's configuration."""
    model = spec.model
    return not (isinstance(model, Checkpoint) and model.source.uri.startswith("hub:"))


def _is_of_tracing(error: BaseException | None) -> bool:
    """Whether an operation needs what a trace does not have: numbers, or memory to point to."""
    while error is not None:
        if isinstance(error, (*_LIMITS, NotTracedError)) or any(
            word in str(error) for word in _LIMIT_WORDS
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def with_prediction(
    memory: Memory, spec: Specification, traces: Traces, drawn_modules: tuple[str, ...] = ()
) -> Memory:
    """What was measured of a run, with what a trace of the same micro-batch predicts beside it."""
    question = Question(
        spec=spec, batch=memory.batch, terms=memory.terms, drawn_modules=drawn_modules
    )
    divides = spec.training.strategy == "fsdp"
    found = traces.asked(question, _predict_apart if divides else predict)
    # of a run that was measured nothing else is left: its step did not fail
    reason = found.reason and found.reason.replace(_RUN_FAILS, _NOT_PREDICTABLE, 1)
    return memory.model_copy(
        update={"predicted_peak_bytes": found.peak_bytes, "predicted_reason": reason}
    )


def _predict_apart(question: Question) -> Prediction:
    """The answer of a process of its own: this one is in a group, and can be in no other."""
    command = [sys.executable, "-m", TRACE]
    asked = question.model_dump_json()
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode == 0:
        return Prediction.model_validate_json(done.stdout)
    words = "".join(done.stderr.strip().splitlines()[-1:])
    ended = f"{_NOT_PREDICTABLE}: the trace ended with exit code {done.returncode}: {words}"
    return Prediction(peak_bytes=None, reason=ended)


def _trace(question: Question) -> int:
    make, training = _maker(question.spec), question.spec.training
    group: AbstractContextManager[DeviceMesh | None] = nullcontext()
    if training.strategy == "fsdp":
        group = first_of(training.devices)
    with group as mesh, FakeTensorMode(), without_older_objects(), swapping_what_differs():
        return _trace_step(question, make, mesh)


@contextmanager
def without_older_objects() -> Iterator[None]:
    """Let the collector pass over what is there already: the libraries' objects are millions."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def swapping_what_differs() -> Iterator[None]:
    """Let modules be moved to where they are: a tensor of a trace cannot be swapped with another.

    The library swaps every parameter of a trace that is moved, its own copy in its place.
    """

    def take_over(one: torch.Tensor, other: torch.Tensor) -> None:
        if (one.shape, one.dtype, one.device) != (other.shape, other.dtype, other.device):
            one.data = other.data

    swap_tensors = torch.utils.swap_tensors
    torch.utils.swap_tensors = take_over
    try:
        yield
    finally:
        torch.utils.swap_tensors = swap_tensors


def _trace_step(question: Question, make: Callable[[], nn.Module], mesh: DeviceMesh | None) -> int:
    """The peak of the step that repeats; of a mesh, that of its first device."""
    spec = question.spec
    meter = LiveBytes(_CUDA_BLOCK_BYTES if spec.training.device == "cuda" else 1)
    with meter:
        trainer = _trainer(question, make())
        if mesh is not None:
            shard(trainer.model, mesh, lambda value: [value])
        optimizer = make_optimizer(trainer.model, trainer.training)
        step = Step(trainer)
        step.hold()
        trainer.enter_training()
        whole = mesh is None and spec.training.devices > 1
        buckets = Buckets(trainer.model) if whole else None
        for _ in range(_STEPS):
            gc.collect()
            meter.peak = meter.live
            for number in range(1, step.micro_batches + 1):
                if buckets:
                    buckets.are_due = number == step.micro_batches
                step.forward().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step.strain()
            optimizer.zero_grad(set_to_none=True)
        return meter.peak


def _trainer(question: Question, model: nn.Module) -> Trainer:
    """What trains the run, on examples without values."""
    spec = question.spec
    task = _task(spec)
    kind = kind_named(task.kind, task.kind_options)
    add_unread(model, question.drawn_modules)
    quantise(model, spec.training.weights, double=spec.training.double_quantisation)
    method = METHODS.build(spec.variant.method, spec.variant.settings)
    method.apply(model, torch.Generator())
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        raise NotTracedError("what recurrent layers keep for themselves is not traced")
    # The device is a name here: the same operations make the same tensors on each.
    training = spec.training.model_copy(update={"device": "cpu"})
    examples = _examples(kind, question, model.config)
    trainer = Trainer(model, task, {"train": examples}, training, log=lambda event: None)
    trainer.steps = method.steps(model, _LONG)
    return trainer


def _task(spec: Specification) -> PreparedTask:
    """What training asks of a task, which is known before it is prepared."""
    task = TASKS.build(spec.task.task, spec.task.options)
    return PreparedTask.model_construct(
        kind=task.kind,
        kind_options=dict(task.kind_options),
        labels=task.labels,
        metrics=task.metrics,
    )


def _maker(spec: Specification) -> Callable[[], nn.Module]:
    """What makes the base model with its head, without weights, once tensors have no numbers."""
    if spec.model.widths is not None:
        return partial(_stack, spec.model.widths, spec.training.weights)
    from transformers import AutoConfig

    options = dict(spec.model.configuration)
    config = AutoConfig.for_model(str(options.pop("model_type")), **options)
    task = _task(spec)
    learnt = kind_named(task.kind, task.kind_options)
    if learnt.loader is None:
        raise ValueError(f"kind {task.kind} is for plain stacks alone")
    for key, value in learnt.configure(task.labels).items():
        setattr(config, key, value)
    if spec.training.dropout is not None:
        override_dropout(config, spec.training.dropout)
    own = classifier_class(config, learnt.loader, spec.model.pooling)
    kind = holding(own, spec.training.weights)
    attention = attention_implementation(kind)
    make = partial(kind._from_config, config, dtype=torch.float32, attn_implementation=attention)
    return partial(without_values, make)


def without_values(make: Callable[[], nn.Module]) -> nn.Module:
    """What is made, its values not drawn: some initialisers read the numbers that they draw."""
    from transformers.initialization import no_init_weights

    with no_init_weights():
        model = make()
    leave_inputs(model)
    tie: Any = model.tie_weights
    tie()
    return model


def _stack(widths: tuple[int, ...], weights: Weights) -> nn.Module:
    model = LinearStack(widths)
    hold(model, weights)
    return model


def _examples(kind: Kind, question: Question, configuration: Any) -> Blank:
    """Examples whose largest micro-batch is that of the question, each as long as it is padded.

    Where it is full, there is one example more than it holds, as there is for most trainings: of
    those that add up gradients, one batch then has a second micro-batch.
    """
    training, (count, size) = question.spec.training, question.batch
    if count == largest_share(training, size):
        count = largest_micro_batch(training, size) + 1
    elif training.micro_batch_units is not None:
        count *= training.devices
    ids = [str(number) for number in range(count)]
    rows = pa.table({"id": ids})
    return Blank(kind, rows, size=size, configuration=configuration, terms=question.terms)


def main() -> int:
    """Questions on stdin, one a line as JSON; their predictions on stdout, in the same order.

    Each core answers some of them, in a process that is forked when the libraries are loaded.
    """
    # What most steps use: loaded once for all, and while nobody has asked yet.
    import_module("transformers.models.auto.modeling_auto")
    import_module("torch._dynamo")
    questions = [Question.model_validate_json(line) for line in sys.stdin]
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    if (forks := min(cores, len(questions))) < 2:
        _say(map(predict, questions))
        return 0
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(forks, context, torch.set_num_threads, (1,)) as pool:
        _say(pool.map(predict, questions))
    return 0


def _say(predictions: Iterable[Prediction]) -> None:
    for one in predictions:
        sys.stdout.write(one.model_dump_json() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
