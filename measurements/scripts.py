"""What runs are measured against: the computation that no run goes without, and scripts by hand.

python -m measurements.scripts bound|careful|shipped SPECIFICATION PREPARED

Each makes one run of LoRA on texts. The last line of what it prints are the processor seconds of
its computation.

bound: the same batches, forward and backward to the inputs of the frozen base, and bare forward
passes for the evaluations. careful: transformers' Trainer with peft, each batch padded to its
longest text. shipped: the same, each text padded to 128 tokens.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from torch import nn

from finegrid.models.layers import blocks_of, linear_layers
from finegrid.models.loading import load_model
from finegrid.models.seeds import generator, make_deterministic
from finegrid.records.damage import read_manifest
from finegrid.records.prepared import PreparedModel, PreparedTask
from finegrid.records.specification import Specification, model_key
from finegrid.training.batches import epoch_batches, evaluation_batches
from finegrid.training.data import Examples, load_examples
from finegrid.training.encoding import encoded_folder, encoding_of
from kinds.registry import kind_named
from measurements.careful import recipe, share_right

SHIPPED_LENGTH = 128


def bound(spec: Specification, prepared: Path) -> float:
    """The processor seconds of the passes alone."""
    task = read_manifest(PreparedTask, prepared / "tasks" / spec.task.key)
    folder = prepared / "models" / model_key(spec.model)
    kind, training = kind_named(task.kind), spec.training
    encoding = encoding_of(kind, spec.task, spec.model, training.max_length)
    splits = load_examples(encoded_folder(prepared, encoding), task, folder)
    configured, manifest = kind.configure(task.labels), read_manifest(PreparedModel, folder)
    model = load_model(folder, manifest, task, kind.loader, configured, spec.seed, training.dropout)
    model.requires_grad_(requires_grad=False)
    blocks_of(model)[0].register_forward_pre_hook(_require_gradient)
    order, sizes = generator(spec.seed, "order"), splits["train"].sizes
    start = time.process_time()
    for _ in range(training.epochs):
        for batch in epoch_batches(sizes, training.batch_size, order):
            kind.output.loss(model.train(), splits["train"].batch(batch)).backward()  # type: ignore[no-untyped-call]
    for examples in (*[splits["validation"]] * training.evaluations, splits["test"]):
        _evaluate(model.eval(), examples, training.evaluation_batch_size)
    return time.process_time() - start


def _require_gradient(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].requires_grad_(), *inputs[1:])


@torch.no_grad()
def _evaluate(model: nn.Module, examples: Examples, size: int) -> None:
    for batch in evaluation_batches(examples.sizes, size):
        model(**examples.batch(batch).inputs)


def script(spec: Specification, prepared: Path, length: int | None) -> float:
    """The processor seconds of a script by hand, from the texts to the scores on test."""
    from transformers import AutoTokenizer, Trainer

    start = time.process_time()
    folder = prepared / "models" / model_key(spec.model)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    splits = _tokenized(spec, prepared, tokenizer, length)
    with tempfile.TemporaryDirectory() as output:
        trainer = Trainer(
            model=_with_lora(spec, folder),
            args=recipe(spec.training, output, seed=spec.seed),
            train_dataset=splits["train"],
            eval_dataset=splits["validation"],
            data_collator=_collator(tokenizer, length),
            compute_metrics=share_right,
        )
        trainer.train()
        trainer.predict(splits["test"])
    return time.process_time() - start


def _tokenized(
    spec: Specification, prepared: Path, tokenizer: Any, length: int | None
) -> dict[str, Any]:
    """The splits as data sets of token ids, cut to the run's length, or to the one given."""
    from datasets import Dataset

    task = prepared / "tasks" / spec.task.key
    options: dict[str, Any] = {"truncation": True, "max_length": length or spec.training.max_length}
    if length:
        options["padding"] = "max_length"
    found = {}
    for name in ("train", "validation", "test"):
        rows = pq.read_table(task / f"{name}.parquet")
        encoded = tokenizer(rows["text"].to_pylist(), **options)
        found[name] = Dataset.from_dict({**encoded, "labels": rows["label"].to_pylist()})
    return found


def _with_lora(spec: Specification, folder: Path) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    settings: Any = spec.variant.settings
    layers = linear_layers(model, tuple(settings["targets"]))
    names = sorted({layer.part.path.rpartition(".")[2] for layer in layers})
    config = LoraConfig(
        r=settings["rank"], lora_alpha=settings["alpha"], target_modules=names, task_type="SEQ_CLS"
    )
    return get_peft_model(model, config)


def _collator(tokenizer: Any, length: int | None) -> Any:
    from transformers import DataCollatorWithPadding, default_data_collator

    return default_data_collator if length else DataCollatorWithPadding(tokenizer)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    way, specification, prepared = arguments or sys.argv[1:]
    spec = Specification.read(Path(specification))
    make_deterministic(threads=1, device="cpu")
    if way == "bound":
        seconds = bound(spec, Path(prepared))
    else:
        seconds = script(spec, Path(prepared), SHIPPED_LENGTH if way == "shipped" else None)
    print(seconds)  # noqa: T201


if __name__ == "__main__":
    main()
