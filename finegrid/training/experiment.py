"""The stages of a run: load, apply, train, score, store, measure."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from finegrid.models.loading import base_sha256, load_model, read_manifest
from finegrid.models.seeds import generator, seed_global
from finegrid.records.costs import Inference, Memory, Time
from finegrid.records.identity import canonical_json, file_sha256
from finegrid.records.prepared import PreparedModel, PreparedTask, SplitName
from finegrid.records.result import (
    DELTA_FILE,
    HISTORY_FILE,
    PREDICTIONS_FILE,
    Choice,
    Gradients,
    Losses,
    Metrics,
    Parameters,
    Provenance,
    Result,
    Score,
    Trivial,
)
from finegrid.records.specification import Specification, model_key
from finegrid.records.write import atomic_path
from finegrid.training.data import Examples, load_examples
from finegrid.training.evaluation import (
    UndefinedScoreError,
    is_finite,
    load_metric,
    predict,
    predictions,
    score,
)
from finegrid.training.loop import DivergedError, Event, Step, Trained, Trainer
from finegrid.training.measure.inference import measure_inference
from finegrid.training.measure.memory import METERED, PeakMeter, probe_memory
from finegrid.training.measure.prediction import with_prediction
from finegrid.training.measure.summaries import summarise_gradients, summarise_losses
from finegrid.training.processes.distributed import ALONE, Group
from finegrid.training.record import Ending
from finegrid.training.shrink import is_out_of_memory, one_line
from finegrid.training.state.keeper import Keeper
from finegrid.training.state.tensors import write_tensors
from finegrid.training.trivial import trivial_scores
from kinds.contract import Row
from methods.contract import Method
from methods.parameters import count_trainable, delta_state, load_trainable
from methods.registry import METHODS


@dataclass
class Experiment:
    """One run in the making. Its fields fill up stage by stage; the record is made of them."""

    spec: Specification
    """With nothing left to tune."""
    prepared: Path
    folder: Path
    mirror: Callable[[Event], None]
    keeper: Keeper | None = None
    """Without one, nothing is kept of a run that is interrupted."""
    group: Group = ALONE
    """The processes that perform it together; the first of them writes."""
    history: list[Event] = field(default_factory=list)
    data_sha256: str | None = None
    model_sha256: str | None = None
    drawn_modules: tuple[str, ...] = ()
    stripped: tuple[str, ...] = ()
    metrics: Metrics | None = None
    parameters: Parameters | None = None
    memory: Memory | None = None
    memory_reason: str = "the run ended before memory was measured"
    times: Time | None = None
    inference: Inference | None = None
    losses: Losses | None = None
    gradients: Gradients | None = None
    setup_seconds: float = 0.0
    resumed_at_steps: tuple[int, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    """Written file -> its hash."""

    def perform(self) -> None:
        """All stages. Raises what training raises; what was reached by then stays in the fields."""
        start = time.perf_counter()
        self._load()
        trainer = Trainer(
            self.model,
            self.task,
            self.splits,
            self.spec.training,
            self._log,
            restore=self._restore,
            between=self._between,
            group=self.group,
        )
        seed_global(self.spec.seed, "dropout", self.group.rank)
        self.setup_seconds = time.perf_counter() - start
        try:
            trained = trainer.train(generator(self.spec.seed, "order"))
        finally:
            self.write_history()
            self.losses = summarise_losses(trainer.losses)
            self.gradients = summarise_gradients(trainer.gradient_norms, trainer.layer_norms)
        self._conclude(trainer, trained)

    def _conclude(self, trainer: Trainer, trained: Trained) -> None:
        """The stages after training. What is left after the last `_between` takes moments."""
        if self.spec.role == "trial":
            self._score(trained, {})
            self._time(trained)
            return
        self._score(trained, self._read("test"))
        self._between(trainer)
        self._time(trained)
        self._probe(trainer, trained)
        self._between(trainer)
        self._store()
        if self.group.is_first and not self.is_sharded:
            self._time_inference()

    def result(
        self, planned: Specification, choice: Choice | None, ending: Ending, origin: Provenance
    ) -> Result:
        """The record of a planned run: what was reached, and how it ended."""
        hashes = {"data_sha256": self.data_sha256, "model_sha256": self.model_sha256}
        names = {"drawn_modules": self.drawn_modules, "stripped": self.stripped}
        return Result(
            run=planned.run,
            spec=planned,
            state=ending.state,
            reason=ending.reason,
            failed_step=ending.step,
            tuning=choice,
            metrics=self.metrics,
            parameters=self.parameters,
            memory=self.memory,
            memory_reason=None if self.memory else self.memory_reason,
            time=self.times,
            inference=self.inference,
            losses=self.losses,
            gradients=self.gradients,
            resumed_at_steps=self.resumed_at_steps,
            files=self.files,
            provenance=origin.model_copy(update=hashes | names),
        )

    def write_history(self) -> None:
        """`history.jsonl`: one line a training step and one an evaluation."""
        lines = "".join(canonical_json(event) + "\n" for event in self.history)
        self._write(HISTORY_FILE, lambda path: path.write_text(lines, encoding="utf-8"))

    def _log(self, event: Event) -> None:
        self.history.append({key: _finite(value) for key, value in event.items()})
        self.mirror(event)

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file of the run, whole or not at all, and note its hash."""
        if self.group.is_first:
            with atomic_path(self.folder / name) as path:
                write(path)
            self.files[name] = file_sha256(self.folder / name)

    def _restore(self, trainer: Trainer) -> None:
        """Go on where an earlier attempt was interrupted, if there was one."""
        past = self.keeper.restore(trainer) if self.keeper else None
        if past:
            self.history = list(past.history)
            self.setup_seconds = past.setup_seconds
            self.resumed_at_steps = (*past.resumed_at_steps, len(trainer.losses))

    def _between(self, trainer: Trainer) -> None:
        if self.keeper and self.keeper.is_due:
            self.keeper.keep(trainer, self.history, self.setup_seconds, self.resumed_at_steps)

    @property
    def is_sharded(self) -> bool:
        """Whether no process holds the whole model: its latency on one device is missing then."""
        return self.spec.training.strategy == "fsdp"

    def _load(self) -> None:
        training = self.spec.training
        task_folder = self.prepared / "tasks" / self.spec.task.key
        self.task = read_manifest(PreparedTask, task_folder)
        self.data_sha256 = self.task.sha256
        for name in self.task.metrics:
            load_metric(name)
        self.device = torch.device(training.device)
        with PeakMeter(torch.device("cpu")) as meter:
            model = self._load_base()
        self.load_bytes = meter.peak
        self.model_sha256 = base_sha256(model)
        self.splits = self._read("train", "validation")  # by the tokenizer, which is checked by now
        self.model = self._apply(model)

    def _load_base(self) -> nn.Module:
        folder = self.prepared / "models" / model_key(self.spec.model)
        prepared = read_manifest(PreparedModel, folder)
        self.drawn_modules, self.stripped = prepared.drawn_modules, prepared.stripped
        return load_model(folder, prepared, self.task, self.spec.seed, self.spec.training.dropout)

    def _read(self, *names: SplitName) -> dict[SplitName, Examples]:
        """The named splits. The test split is asked for when training is over, and not before."""
        task = self.prepared / "tasks" / self.spec.task.key
        model = self.prepared / "models" / model_key(self.spec.model)
        return load_examples(task, self.task, model, self.spec.training.max_length, names)

    def _apply(self, model: nn.Module) -> nn.Module:
        variant = self.spec.variant
        self.method: Method = METHODS.build(variant.method, variant.settings)
        self.base_names = frozenset(name for name, _ in model.named_parameters())
        self.base_count = sum(p.numel() for p in model.parameters())
        self.expected = self.method.expected_parameters(model)
        self.method.apply(model, generator(self.spec.seed, "method"))
        live = sum(p.numel() for p in model.parameters() if p.requires_grad)
        if live != self.expected:
            raise RuntimeError(
                f"{variant.method}: {live} trainable parameters, closed form {self.expected}"
            )
        # One that is divided among devices may not fit on any of them.
        return model if self.is_sharded else model.to(self.device)

    def _score(self, trained: Trained, unseen: dict[SplitName, Examples]) -> None:
        """Score the kept state on the splits that training has not seen: test, or none."""
        self.splits |= unseen
        trivial = self._trivial(unseen["test"]) if "test" in unseen else None
        start = time.perf_counter()
        said = {name: self._predict(examples) for name, examples in unseen.items()}
        if not all(map(is_finite, said.values())):
            raise DivergedError(trained.best.step, "a prediction on test")
        scores = {name: self._scores_on(name, rows) for name, rows in said.items()}
        self.metrics = Metrics(
            primary=self.task.metrics[0],
            validation=trained.best.scores,
            test=scores.get("test", {}),
            best_step=trained.best.step,
            trivial=trivial,
        )
        trained.evaluate_seconds += time.perf_counter() - start
        kept: dict[SplitName, list[Row]] = {"validation": trained.best.said}
        self._write_predictions(kept | said)

    def _scores_on(self, split: SplitName, said: list[Row]) -> dict[str, Score]:
        """Raises UndefinedScoreError that names the split."""
        try:
            return score(predictions(self.splits[split], said), self.task.metrics)
        except UndefinedScoreError as error:
            raise UndefinedScoreError(f"{split}: {error}") from error

    def _trivial(self, test: Examples) -> Trivial:
        return trivial_scores(self.splits["train"].truths, test.truths, self.task)

    def _predict(self, examples: Examples) -> list[Row]:
        training = self.spec.training
        return predict(
            self.model,
            examples,
            training.evaluation_batch_size,
            self.device,
            training.dtype,
            self.group,
        )

    def _write_predictions(self, said: dict[SplitName, list[Row]]) -> None:
        tables = [_prediction_table(name, self.splits[name], rows) for name, rows in said.items()]
        whole = pa.concat_tables(tables)
        self._write(PREDICTIONS_FILE, lambda path: pq.write_table(whole, path))

    def _store(self) -> None:
        """Count what was trained, drop what only training needed, and write down the rest."""
        counts = count_trainable(self.model, self.base_names)
        trainable = sum(counts.values())
        self.method.finish(self.model)
        delta = self.group.whole(delta_state(self.model))
        self._write(DELTA_FILE, lambda path: write_tensors(delta, path))
        if not self.group.is_first:
            return
        self.parameters = Parameters(
            base=self.base_count,
            trainable=trainable,
            expected=self.expected,
            adapter=counts["adapter"],
            head=counts["head"],
            norm=counts["norm"],
            bias=counts["bias"],
            embedding=counts["embedding"],
            rest=counts["rest"],
            stored=sum(t.numel() for t in delta.values()),
            stored_bytes=(self.folder / DELTA_FILE).stat().st_size,
        )

    def _time(self, trained: Trained) -> None:
        steps = trained.step_seconds
        total = sum(steps)
        self.times = Time(
            setup_seconds=self.setup_seconds,
            train_seconds=total,
            evaluate_seconds=trained.evaluate_seconds,
            step_median_seconds=median(steps),
            step_p95_seconds=quantiles(steps, n=20)[-1] if len(steps) > 1 else steps[0],
            tokens_per_second=None if trained.tokens is None else trained.tokens / total,
            examples_per_second=trained.examples / total,
            steps=len(steps),
        )

    def _probe(self, trainer: Trainer, trained: Trained) -> None:
        """Measure memory with the method as it was trained; the kept state is put back."""
        if self.device.type not in METERED:
            self.memory_reason = f"memory is not measured on {self.device.type}"
            return
        found = probe_memory(self.model, Step(trainer), trained.optimizer, self.load_bytes)
        self.memory = (
            with_prediction(found, self.spec, self.drawn_modules) if self.group.is_first else found
        )
        load_trainable(self.model, trained.best.state)

    def _time_inference(self) -> None:
        training = self.spec.training
        base, reason = self._plain_base()
        found = measure_inference(
            self.model,
            base,
            self.method,
            self.splits["validation"],
            training.evaluation_batch_size,
            self.device,
            training.dtype,
        )
        self.inference = found.model_copy(update={"base_reason": reason})

    def _plain_base(self) -> tuple[nn.Module | None, str | None]:
        """The base model as it was before the method, or why it is not there: a second model."""
        try:
            return self._load_base().to(self.device), None
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None, f"it does not fit beside the model: {one_line(error)}"


def _finite(value: Any) -> Any:
    """None for a float that JSON cannot hold: a diverged step is written down all the same."""
    if isinstance(value, dict):
        return {key: _finite(below) for key, below in value.items()}
    return None if isinstance(value, float) and not torch.isfinite(torch.tensor(value)) else value


def _prediction_table(name: SplitName, examples: Examples, said: list[Row]) -> pa.Table:
    columns = [("split", pa.string()), ("id", pa.string()), *examples.kind.output.predicted()]
    rows = zip(examples.ids, predictions(examples, said), strict=True)
    found = [{"split": name, "id": one} | row for one, row in rows]
    return pa.Table.from_pylist(found, pa.schema(columns))
