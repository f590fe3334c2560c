"""What a run costs: memory, time and latency."""

from typing import Annotated, Literal

from pydantic import Field

from finegrid.records.base import Name, Record

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Ratio = Annotated[float, Field(ge=0)]


class Memory(Record):
    """Bytes of tensor storage on the device, by category and as the peak of each phase.

    Each category is at its largest: in the backward pass gradients take the place of activations,
    so that the four may sum to more than the peak. Peaks count live allocations, the weights
    included; `instrument` names how they were read. Where a step has several micro-batches, two of
    them are measured, with the gradients that they add up.
    """

    instrument: Literal["cpu-allocator-events", "cuda-max-allocated"]
    weights_bytes: Count
    gradients_bytes: Count
    optimizer_bytes: Count
    activations_bytes: Count
    """What the forward pass has made and the backward pass needs, at the end of forward. Of version
    1, the peak of forward less weights and optimizer's state: what an operation takes for itself
    may be in it."""
    peak_load_bytes: Count
    peak_forward_bytes: Count
    peak_backward_bytes: Count
    peak_step_bytes: Count
    peak_evaluate_bytes: Count
    peak_training_bytes: Count
    """The largest of forward, backward and step: what training needs."""
    batch: tuple[int, int]
    """The micro-batch that was measured, as (examples, padded tokens); the largest of the run."""
    terms: Count | None = Field(default=None, exclude_if=lambda value: value is None)
    """The most terms of the loss that an example of it brings, where targets are padded apart from
    their inputs."""
    predicted_peak_bytes: Count | None = None
    predicted_reason: str | None = None


class Time(Record):
    """Wall-clock seconds, and throughput over the training steps alone: null without any."""

    setup_seconds: Seconds
    """Before the first step: what is read, loaded and built, the metrics' libraries included."""
    train_seconds: Seconds
    """Training steps only, evaluations excluded."""
    evaluate_seconds: Seconds
    """Predictions and scores, on validation and test."""
    step_median_seconds: Seconds | None
    step_p95_seconds: Seconds | None
    tokens_per_second: Seconds | None
    """Real tokens, padding excluded; null for inputs that are not made of tokens."""
    examples_per_second: Seconds | None
    steps: Count


class Inference(Record):
    """Median seconds of one evaluation batch, and what they are to those of the plain base model.

    The base, without the method, is timed in turns with the model, in one process. Its figures are
    null in records from before it was timed, and where it did not fit beside the model.
    """

    batch_examples: Count
    unmerged_seconds: Seconds
    merged_seconds: Seconds | None
    merged_reason: str | None = None
    """Why there is no merged figure."""
    base_seconds: Seconds | None = None
    unmerged_to_base: Ratio | None = None
    """The median over the rounds of the ratio of the two, in each round timed one by one."""
    merged_to_base: Ratio | None = None
    """The same of the merged model."""
    base_reason: str | None = None
    """Why the base was not timed."""
    warm_up_rounds: Count | None = None
    """Rounds that were left out."""
    rounds: Count | None = None
    """Rounds that the medians are of."""
    unmerged_ratios: tuple[Ratio, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Of each round, the model's seconds to those of the base; none in records from before."""
    merged_ratios: tuple[Ratio, ...] = Field(default=(), exclude_if=lambda value: not value)
    """The same of the merged model."""


class Costs(Record):
    """Memory and latency, which all seeds of a cell have in common."""

    run: Name
    """The run that measured them."""
    memory: Memory | None
    memory_reason: str | None = None
    inference: Inference | None = None
