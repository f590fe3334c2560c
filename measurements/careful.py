"""The script that `measurements.grid` is held against: what a careful user writes for one run.

python -m measurements.careful --spec FILE --prepared FOLDER

A text model is trained by transformers' Trainer, each batch padded to its longest text, scored
after each epoch, the best state kept and scored on the test split; a network by a loop in plain
torch. The methods are applied by finegrid's own classes, so that only the harness differs. It
prints the test accuracy.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from finegrid.records.damage import read_manifest
from finegrid.records.prepared import PreparedModel, PreparedTask
from finegrid.records.specification import Specification
from finegrid.records.training import Training
from finegrid.training.data import Examples
from finegrid.training.experiment import Run, Splits, apply, load_base
from finegrid.training.optimization import make_optimizer, make_schedule


def trained(spec: Specification, prepared: Path) -> float:
    """The test accuracy of the run. Raises as loading does."""
    torch.set_num_threads(spec.training.threads)
    torch.manual_seed(spec.seed)
    run = Run(spec, prepared, prepared, lambda event: None)
    task = read_manifest(PreparedTask, run.task_folder)
    base = load_base(run, read_manifest(PreparedModel, run.model_folder), task)
    model = apply(run, base).model
    splits = run.read(task, "train", "validation", "test")
    return (_by_loop if spec.model.widths else _by_trainer)(model, splits, spec.training)


def recipe(training: Training, folder: str, **further: Any) -> Any:
    """The arguments of a Trainer that trains so, scored after each epoch by `share_right`."""
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.evaluation_batch_size,
        learning_rate=training.learning_rate,
        weight_decay=training.optimizer.weight_decay,
        warmup_steps=training.warmup_fraction,
        max_grad_norm=training.gradient_clip_norm or 0.0,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="right",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        **further,
    )


def share_right(said: Any) -> dict[str, float]:
    """The share of examples whose class is right."""
    return {"right": float(np.mean(said.predictions.argmax(axis=-1) == said.label_ids))}


def _mean_loss(said: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """The mean of a batch's losses, whatever class the model is of."""
    return functional.cross_entropy(said["logits"], labels)


def _by_trainer(model: nn.Module, splits: Splits, training: Training) -> float:
    from transformers import Trainer

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=recipe(training, folder, remove_unused_columns=False, label_names=["labels"]),
            train_dataset=_Numbered("train", splits),
            eval_dataset=_Numbered("validation", splits),
            data_collator=_collate,
            compute_metrics=share_right,
            compute_loss_func=_mean_loss,
        )
        trainer.train()
        found = trainer.predict(_Numbered("test", splits))
    return float(found.metrics["test_right"])


class _Numbered(torch.utils.data.Dataset[tuple[Examples, int]]):
    """The examples of a split by their numbers; a batch is made of them where it is padded."""

    def __init__(self, name: Any, splits: Splits) -> None:
        self._examples = splits[name]

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> tuple[Examples, int]:
        return self._examples, index


def _collate(parts: Sequence[tuple[Examples, int]]) -> dict[str, torch.Tensor]:
    batch = parts[0][0].batch([index for _, index in parts])
    return batch.inputs | batch.targets


def _by_loop(model: nn.Module, splits: Splits, training: Training) -> float:
    train = splits["train"]
    count = -(-len(train) // training.batch_size)
    optimizer = make_optimizer(model, training)
    schedule = make_schedule(optimizer, training, count * training.epochs)
    best: tuple[float, Mapping[str, Any]] = (-1.0, {})
    for epoch in range(1, training.epochs + 1):
        model.train()
        order = torch.randperm(len(train)).tolist()
        for start in range(0, len(order), training.batch_size):
            batch = train.batch(order[start : start + training.batch_size])
            logits = model(**batch.inputs).logits
            functional.cross_entropy(logits, batch.targets["labels"]).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip_norm or torch.inf)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        if epoch % max(1, training.epochs // training.evaluations) == 0:
            score = _score(model, splits["validation"])
            best = max(best, (score, copy.deepcopy(model.state_dict())), key=lambda one: one[0])
    model.load_state_dict(best[1])
    return _score(model, splits["test"])


@torch.no_grad()
def _score(model: nn.Module, examples: Examples) -> float:
    model.eval()
    batch = examples.batch(range(len(examples)))
    right = model(**batch.inputs).logits.argmax(dim=-1) == batch.targets["labels"]
    return float(right.float().mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m measurements.careful", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="a run's specification")
    parser.add_argument("--prepared", type=Path, required=True, help="prepared models and tasks")
    options = parser.parse_args(arguments)
    print(f"{trained(Specification.read(options.spec), options.prepared):.4f}")  # noqa: T201


if __name__ == "__main__":
    main()
