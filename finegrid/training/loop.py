"""The training loop."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn

from finegrid.metrics.registry import metric
from finegrid.records.prepared import PreparedTask, SplitName
from finegrid.records.result import Score
from finegrid.records.training import Training
from finegrid.training.batches import (
    epoch_batches,
    evaluation_batches,
    micro_batches,
)
from finegrid.training.below import modules_without_dropout
from finegrid.training.data import Examples
from finegrid.training.evaluation import (
    UndefinedScoreError,
    is_finite,
    predict,
    predictions,
    say,
    score,
)
from finegrid.training.features import Features, find_features
from finegrid.training.measure.memory import tensor_bytes
from finegrid.training.measure.summaries import layer_norms, trained_layers
from finegrid.training.optimization import make_optimizer, make_schedule
from finegrid.training.processes.distributed import ALONE, Group
from finegrid.training.shrink import memory_of_step
from kinds.contract import Row
from kinds.outputs.cross_entropy import training_loss
from kinds.outputs.logits import Logits
from methods.parameters import host_copy, load_trainable, trainable_state, whole
from methods.steps import Steps

Event = dict[str, Any]
Log = Callable[[Event], None]


class DivergedError(Exception):
    """The loss, the gradient or a prediction is no finite number."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"{what}: not finite at step {step}")
        self.step = step


@dataclass
class Best:
    """The state that is kept: that of the best validation score, or the last."""

    step: int
    scores: dict[str, Score]
    said: list[Row]
    """What the model says of each validation example."""
    state: dict[str, torch.Tensor]
    """What is trained, copied to the host: on the device it would be one more copy of the model."""


@dataclass
class Trained:
    """What training leaves: the kept state is loaded into the model."""

    best: Best
    optimizer: torch.optim.Optimizer
    step_seconds: list[float]
    evaluate_seconds: float
    examples: int
    selector: str
    """The metric that decided, on validation."""
    tokens: int | None
    """Real tokens seen in training; None for inputs that are not made of tokens."""


@dataclass
class Trainer:
    """One training of a model whose trainable parameters a method has chosen."""

    model: nn.Module
    task: PreparedTask
    splits: dict[SplitName, Examples]
    training: Training
    log: Log
    step_seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    layer_norms: list[dict[str, float]] = field(default_factory=list)
    evaluate_seconds: float = 0.0
    best: Best | None = None
    evaluated: int = 0
    """The last step after which the validation split was scored; 0 before the first."""
    restore: Callable[["Trainer"], None] = lambda trainer: None
    """Called before the first step; it may put back the state of an earlier attempt."""
    between: Callable[["Trainer"], None] = lambda trainer: None
    """Called after each step and each evaluation; it may take the state, and end the training."""
    beside: Callable[[nn.Module, int], Steps | None] = lambda model, count: None
    """What the method does in each of that many steps beside learning."""
    group: Group = ALONE
    """Where several processes train together, all of them do all of this at the same time."""
    network: nn.Module = field(init=False)
    """The model as the group trains it."""
    without_dropout: list[nn.Module] = field(default_factory=list, init=False)
    """The modules whose dropout does not act in training."""
    optimizer: torch.optim.Optimizer = field(init=False)
    schedule: torch.optim.lr_scheduler.LambdaLR = field(init=False)
    steps: Steps | None = field(default=None, init=False)
    """That, of this training."""

    def __post_init__(self) -> None:
        self.device = torch.device(self.training.device)
        self.train_split = self.splits["train"]
        self.output = self.train_split.kind.output
        self.metrics = self.output.validated(self.task.metrics)
        if self.training.gradient_checkpointing:
            # Re-entrant checkpoints train nothing where the inputs require no gradient.
            self.model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        if self.training.dropout_scope == "trained":
            self.without_dropout = modules_without_dropout(self.model, self._first_loss)
        self.network = self.group.spread(self.model, self.training)

    def train(self, order: torch.Generator) -> Trained:
        """Train for the whole schedule; raises DivergedError and StepMemoryError with the step.

        Raises UndefinedScoreError where the state that would be kept has no validation score.

        The batches are all drawn beforehand: where the order stands, the number of the step says.
        Where nothing is trained there are none, and the model is scored as it came.
        """
        plan = [
            batch
            for _ in range(self.training.epochs if self._layers else 0)
            for batch in epoch_batches(self.train_split.sizes, self.training.batch_size, order)
        ]
        self.optimizer = make_optimizer(self.model, self.training)
        self.schedule = make_schedule(self.optimizer, self.training, len(plan))
        self.steps = self.beside(self.model, len(plan)) if plan else None
        self.restore(self)
        self._follow(plan)
        if self._features:
            self._features.stop()
        if self.best is None:
            kept = "the last step" if self.training.checkpoint == "last" else "any evaluation"
            raise UndefinedScoreError(f"{self.metrics[0]} has no value on validation at {kept}")
        load_trainable(self.model, self.best.state)
        return Trained(
            best=self.best,
            optimizer=self.optimizer,
            step_seconds=self.step_seconds,
            evaluate_seconds=self.evaluate_seconds,
            examples=sum(len(batch) for batch in plan),
            selector=self.metrics[0],
            tokens=self._tokens(plan),
        )

    def exchange_bytes(self) -> int:
        """Bytes that a process holds between steps for the exchange of gradients."""
        trained = (p for p in self.model.parameters() if p.requires_grad)
        return tensor_bytes(trained) if self.network is not self.model else 0

    def enter_training(self) -> None:
        """Let dropout act where the benchmark says so."""
        self.model.train()
        for module in self.without_dropout:
            module.eval()

    def recall(self, events: list[Event]) -> None:
        """Take over the steps of an earlier attempt, by their events in its history."""
        self.step_seconds = [event["seconds"] for event in events]
        self.losses = [event["loss"] for event in events]
        self.gradient_norms = [event["gradient_norm"] for event in events]
        self.layer_norms = [event["layer_gradient_norms"] for event in events]

    def _follow(self, plan: list[list[int]]) -> None:
        """Take the steps and evaluations of the plan that have not been taken."""
        due = evaluation_steps(len(plan), self.training.evaluations)
        for number, batch in enumerate(plan, start=1):
            if number > len(self.losses):
                with memory_of_step(number):
                    self.step(number, batch)
                self.schedule.step()
                self.between(self)
            if number in due and number > self.evaluated:
                self.evaluate(number)
                self.evaluated = number
                self.between(self)
        if not plan:
            self.evaluate(0)

    def step(self, number: int, batch: list[int]) -> None:
        """One optimizer step on a batch, in micro-batches; logs it."""
        start = self._now()
        loss = self._backward(batch)
        backward_seconds = self._now() - start
        layers = layer_norms(self._layers)
        start = self._now()
        norm = whole(self._clip()).item()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise DivergedError(number, f"loss {loss} or gradient norm {norm}")
        self.optimizer.step()
        if self.steps:
            self.steps.after(number)
        self.optimizer.zero_grad(set_to_none=True)
        # The layers' norms are a measurement, not a part of training: their time is left out.
        self.step_seconds.append(backward_seconds + self._now() - start)
        self.losses.append(loss)
        self.gradient_norms.append(norm)
        self.layer_norms.append(layers)
        self.log(
            {
                "step": number,
                "loss": loss,
                "gradient_norm": norm,
                "layer_gradient_norms": layers,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "seconds": self.step_seconds[-1],
                **(self.steps.noted() if self.steps else {}),
            }
        )

    def _backward(self, batch: list[int]) -> float:
        """Leave the gradient of the batch's loss in the parameters; returns that loss.

        It is the sum over the terms of the whole batch, divided by their number: how the batch is
        cut into micro-batches and shared by processes changes it by rounding alone.
        """
        self.enter_training()
        loss, terms = 0.0, sum(self.train_split.weights[index] for index in batch)
        parts = micro_batches(batch, self.train_split.sizes, self.training)
        for number, part in enumerate(parts, start=1):
            own, factor = self.group.share(part)
            with self.group.exchange(self.network, is_last=number == len(parts)):
                partial_loss = self.loss(own) * (factor / terms)
                if self.steps and number == len(parts):
                    partial_loss = partial_loss + self.steps.penalty()
                partial_loss.backward()  # type: ignore[no-untyped-call]
            loss += partial_loss.item()
        return self.group.mean(loss)

    def loss(self, indices: list[int]) -> torch.Tensor:
        """The loss of the examples, summed over its terms."""
        return self._loss_of(self.network, indices)

    def _first_loss(self) -> torch.Tensor:
        """Of the model itself on one example: what it depends on is that of every loss."""
        return self._loss_of(self.model, [0])

    def _loss_of(self, network: nn.Module, indices: list[int]) -> torch.Tensor:
        batch = self.train_split.batch(indices).to(self.device)
        enabled = self.training.dtype == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            return training_loss(self.output, network, batch, self.training.label_smoothing)

    def evaluate(self, step: int) -> None:
        """Score the validation split and keep the state if the benchmark's choice says so."""
        start = self._now()
        split = self.splits["validation"]
        said = predict(
            self.model,
            split,
            self.training.evaluation_batch_size,
            self.device,
            self.training.dtype,
            self.group,
            self.metrics,
            self._features,
        )
        if not is_finite(said):
            raise DivergedError(step, "a prediction on validation")
        try:
            scores = score(predictions(split, said), self.metrics)
        except UndefinedScoreError:
            scores = {}
        self.evaluate_seconds += self._now() - start
        values = {name: s.value for name, s in scores.items()}
        self.log({"step": step, "validation": dict.fromkeys(self.metrics) | values})
        if not scores:
            self._pass_over()
            return
        if self._is_kept(step, scores):
            self.best = Best(step, scores, said, host_copy(trainable_state(self.model)))

    @cached_property
    def _layers(self) -> dict[str, list[nn.Parameter]]:
        """What is trained, by layer: to look for it in every step takes milliseconds."""
        return trained_layers(self.model)

    @cached_property
    def _features(self) -> Features | None:
        """What later evaluations take from the first; None where all of it is computed again.

        A model that gives more than logits may be called more than once for a batch.
        """
        training = self.training
        is_plain = self.group.size == 1 and isinstance(self.output, Logits)
        if training.evaluations == 1 or not is_plain or not self._layers:
            return None
        split = self.splits["validation"]
        batches = evaluation_batches(split.sizes, training.evaluation_batch_size)
        few = [batches[0][0], batches[-1][-1]]
        ask = partial(say, self.model, split, few, self.device, training.dtype)
        return find_features(self.model, self._first_loss, ask, self.device, len(batches))

    def _is_kept(self, step: int, scores: dict[str, Score]) -> bool:
        """Whether the state after that step takes the place of the best one so far."""
        if self.steps and not self.steps.is_candidate(step):
            return False
        if self.best is None or self.training.checkpoint == "last":
            return True
        primary = self.metrics[0]
        sign = metric(primary).sign
        return sign * scores[primary].value > sign * self.best.scores[primary].value

    def _pass_over(self) -> None:
        """A state without a score is not kept; where the last one is asked for, none is by now."""
        if self.training.checkpoint == "last":
            self.best = None

    def _clip(self) -> torch.Tensor:
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        limit = self.training.gradient_clip_norm
        if limit is None:
            return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        return nn.utils.clip_grad_norm_(parameters, limit)

    def _tokens(self, plan: list[list[int]]) -> int | None:
        if self.train_split.kind.inputs.unit != "token":
            return None
        return sum(self.train_split.sizes[index] for batch in plan for index in batch)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def evaluation_steps(steps: int, evaluations: int) -> frozenset[int]:
    """`evaluations` step numbers, evenly spaced, the last of them the last step."""
    count = min(steps, evaluations)
    return frozenset(round(steps * (i + 1) / count) for i in range(count))
