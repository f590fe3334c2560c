"""Tiny prepared tasks and models, made on the spot, and runs on them."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import nn

from finegrid.models.loading import load_model
from finegrid.models.seeds import generator
from finegrid.prepare.encode import encode_task
from finegrid.prepare.model import prepare_model
from finegrid.records.identity import content_hash, file_sha256
from finegrid.records.prepared import (
    MANIFEST_FILE,
    SPLITS,
    PreparedModel,
    PreparedTask,
    Split,
    SplitName,
)
from finegrid.records.result import HISTORY_FILE, RESULT_FILE, Result
from finegrid.records.specification import (
    Model,
    Network,
    RandomModel,
    Source,
    Specification,
    Task,
    Variant,
    model_key,
)
from finegrid.records.training import Training
from finegrid.training.data import Examples, load_examples
from finegrid.training.encoding import encoded_folder, encoded_rows, encoding_of
from finegrid.training.experiment import Run, perform
from finegrid.training.record import Reached
from finegrid.training.run import main
from kinds.registry import kind_named
from methods.registry import METHODS, training_methods

SIZES: dict[SplitName, int] = {"train": 50, "validation": 21, "test": 24}
LABELS = ("negative", "positive")
WIDTHS = (12, 16, 10, 3)
WRITER = "llama"
"""The tiny model that writes texts."""
_NOUNS = ("film", "plot", "actor", "scene", "music", "ending")
_ADJECTIVES = (("dull", "weak", "awful", "slow"), ("great", "warm", "clever", "moving"))
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
Event = dict[str, Any]
OWN_METHODS = tuple(name for name in training_methods() if ":" not in name)
"""Those whose defaults fit the tiny models; a bridge's are chosen for large ones."""


@dataclass(frozen=True)
class Assets:
    """Prepared tasks and models in a folder, and the ways to use them."""

    prepared: Path
    tasks: dict[str, Task]
    models: dict[str, Model]

    def specification(
        self,
        method: str = "full",
        *,
        model: str = "network",
        settings: dict[str, Any] | None = None,
        seed: int = 0,
        **training: Any,
    ) -> Specification:
        """A run of one epoch in batches of 16, unless `training` says otherwise."""
        options = {"learning_rate": 1e-2, "epochs": 1, "batch_size": 16, "max_length": 32}
        return Specification(
            task=self.tasks[model],
            model=self.models[model],
            variant=Variant(name=method.replace(":", "-"), method=method, settings=settings or {}),
            training=Training.model_validate(options | training),
            seed=seed,
        )

    def manifest(self, model: str = "network") -> PreparedTask:
        """The manifest of the task that goes with the model."""
        return PreparedTask.read(self._task(self.tasks[model]) / MANIFEST_FILE)

    def splits(self, model: str = "network") -> dict[SplitName, Examples]:
        """The encoded examples of the task that goes with the model."""
        folder = self.prepared / "models" / model_key(self.models[model])
        encoded = self.encode(self.specification(model=model))
        return load_examples(encoded, self.manifest(model), folder)

    def encode(self, spec: Specification) -> Path:
        """The folder of the encoded task of a run, which is made unless it is there."""
        task = PreparedTask.read(self._task(spec.task) / MANIFEST_FILE)
        length = spec.training.max_length
        encoding = encoding_of(kind_named(task.kind), spec.task, spec.model, length)
        folder = encoded_folder(self.prepared, encoding)
        if not folder.exists():
            encode_task(encoding, folder, self.prepared, model_key(spec.model))
        return folder

    def plain(self, spec: Specification) -> nn.Module:
        """The loaded base model of a run."""
        folder = self.prepared / "models" / model_key(spec.model)
        prepared = PreparedModel.read(folder / MANIFEST_FILE)
        task = PreparedTask.read(self._task(spec.task) / MANIFEST_FILE)
        training = spec.training
        return load_model(
            folder, prepared, task, *asked(task), spec.seed, training.dropout, training.weights
        )

    def applied(self, spec: Specification) -> nn.Module:
        """The model of a run as it is before the first step."""
        model = self.plain(spec)
        method = METHODS.build(spec.variant.method, spec.variant.settings)
        method.apply(model, generator(spec.seed, "method"))
        return model

    def perform(self, spec: Specification, folder: Path) -> Reached:
        """What every stage of the run reaches, without the process around it."""
        self.encode(spec)
        reached: Reached = {}
        perform(Run(spec, self.prepared, folder, mirror=lambda event: None), reached)
        return reached

    def main(self, spec: Specification, results: Path, **extra: Any) -> int:
        """The command of a run with further options, in this process; returns its exit code."""
        if self._task(spec.task).exists():
            self.encode(spec)
        results.mkdir(parents=True, exist_ok=True)
        file = results / "given.json"
        spec.write(file)
        options = {"--spec": file, "--results": results, "--prepared": self.prepared}
        further = {f"--{name.replace('_', '-')}": value for name, value in extra.items()}
        return main([str(part) for option in (options | further).items() for part in option])

    def run(self, spec: Specification, results: Path) -> Result:
        """The record of a run that ends without failing."""
        assert self.main(spec, results) == 0
        return Result.read(run_folder(spec, results) / RESULT_FILE)

    def _task(self, task: Task) -> Path:
        return self.prepared / "tasks" / task.key


def rows_of_numbers(kind: str, rows: Any, labels: list[Any]) -> Examples:
    """Examples of a kind that reads rows of numbers (examples, features)."""
    one = kind_named(kind)
    inputs = [{"features": row} for row in np.asarray(rows, dtype=np.float32)]
    targets = [{"labels": label} for label in labels]
    ids = [str(number) for number in range(len(labels))]
    return Examples(one, pa.Table.from_batches([encoded_rows(one, ids, inputs, targets)]))


def asked(task: PreparedTask) -> tuple[str | None, dict[str, Any]]:
    """The auto class of a task's model, and what its configuration has to say."""
    kind = kind_named(task.kind)
    return kind.loader, kind.output.configure(task.labels)


def run_folder(spec: Specification, results: Path) -> Path:
    """Where a run is written."""
    return results / "runs" / spec.run


def read_history(folder: Path) -> list[Event]:
    """The events of `history.jsonl`."""
    return [json.loads(line) for line in (folder / HISTORY_FILE).read_text().splitlines()]


def steps(history: list[Event]) -> list[Event]:
    """The training steps of a history, without their seconds."""
    return [
        {key: value for key, value in event.items() if key != "seconds"}
        for event in history
        if "loss" in event
    ]


def make_assets(root: Path) -> Assets:
    """Prepare everything below `root`. Nothing is downloaded."""
    prepared = root / "prepared"
    sentences = _sentences(sum(SIZES.values()))
    text = Task(name="films", task="rated-snippets", source=Source(uri="path:none"))
    images = Task(name="images", task="digits", source=Source(uri="path:none"))
    write_task(prepared, text, "text-classification", LABELS, sentences)
    write_task(prepared, images, "flat-image-classification", ("a", "b", "c"), _images())
    models: dict[str, Model] = {
        "bert": _bert(root / "tokenizer", [row["text"] for row in sentences]),
        "network": Network(kind="network", name="network", layers=WIDTHS),
    }
    for model in models.values():
        destination = prepared / "models" / model_key(model)
        prepare_model(model, destination, tasks=prepared / "tasks", cache=root / "downloads")
    made = Assets(prepared, {"bert": text, "network": images}, models)
    for name in models:
        made.encode(made.specification(model=name))
    return made


def _sentences(count: int) -> list[dict[str, Any]]:
    draw = random.Random(0)  # noqa: S311 - examples, no secrets
    rows = []
    for number in range(count):
        label = draw.randrange(2)
        parts = [
            f"the {draw.choice(_NOUNS)} was {draw.choice(_ADJECTIVES[label])}"
            for _ in range(draw.randint(1, 5))
        ]
        rows.append({"id": f"s{number}", "text": " and ".join(parts), "label": label})
    return rows


def _images() -> list[dict[str, Any]]:
    draw = random.Random(1)  # noqa: S311 - examples, no secrets
    rows = []
    for number in range(sum(SIZES.values())):
        label = draw.randrange(3)
        pixels = [draw.random() * (0.6 if at % 3 == label else 1) for at in range(WIDTHS[0])]
        rows.append({"id": f"i{number}", "pixels": pixels, "label": label})
    return rows


def write_task(
    prepared: Path,
    task: Task,
    kind: str,
    labels: tuple[str, ...],
    rows: list[dict[str, Any]],
    metrics: tuple[str, ...] = ("accuracy",),
) -> None:
    """Write a prepared task of these rows, cut into splits of `SIZES`."""
    folder = prepared / "tasks" / task.key
    folder.mkdir(parents=True)
    splits, left = {}, list(rows)
    for name in SPLITS:
        part, left = left[: SIZES[name]], left[SIZES[name] :]
        path = folder / f"{name}.parquet"
        pq.write_table(pa.Table.from_pylist(part), path)
        splits[name] = Split(n=len(part), sha256=content_hash(part), file_sha256=file_sha256(path))
    PreparedTask(
        key=task.key,
        spec=task,
        kind=kind,
        labels=labels,
        metrics=metrics,
        splits=splits,
        overlaps=(),
        sha256=content_hash(rows),
    ).write(folder / MANIFEST_FILE)


def _bert(folder: Path, texts: list[str]) -> RandomModel:
    size = _write_tokenizer(folder, texts)
    configuration = {
        "model_type": "bert",
        "vocab_size": size,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    tokenizer = Source(uri=f"path:{folder}")
    return RandomModel.model_validate(
        {"kind": "random", "name": "bert", "configuration": configuration, "tokenizer": tokenizer}
    )


def _write_tokenizer(folder: Path, texts: list[str]) -> int:
    """A word-level tokenizer of these texts' words; returns the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder.mkdir()
    words = sorted({word for text in texts for word in text.split()})
    vocabulary = {word: index for index, word in enumerate([*_SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ("pad_token", "unk_token", "cls_token", "sep_token")
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": inputs}
    text = json.dumps(config | dict(zip(names, _SPECIAL, strict=True)))
    (folder / "tokenizer_config.json").write_text(text)
    return len(vocabulary)
