"""Tiny models of each architecture that reads text, prepared as a run has them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from finegrid.models.loading import load_model
from finegrid.prepare.encode import encode_task
from finegrid.prepare.model import prepare_model
from finegrid.records.prepared import MANIFEST_FILE, PreparedModel, PreparedTask
from finegrid.records.specification import RandomModel, Source, Task, model_key
from finegrid.training.data import Examples, load_examples
from finegrid.training.encoding import encoded_folder, encoding_of
from finegrid.training.evaluation import predict
from kinds.registry import kind_named
from tests.methods.architectures import TINY, anatomy
from tests.training.assets import LABELS, SIZES, asked, write_task

TEXTUAL = [name for name in TINY if anatomy(name).embeddings]
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
PAD, _UNKNOWN, START, END = range(len(SPECIAL))
NAMES = dict(zip(("pad_token", "unk_token", "bos_token", "eos_token"), SPECIAL, strict=True))
WORDS = ["the", "film", "plot", "was", "dull", "great", "warm"]
MAX_LENGTH = 12
TEXTS = (
    "the film was great",
    "",
    "the plot </s> was <pad> dull",
    "</s>",
    "warm <s> </s> </s>",
    "the film was dull " * 8,
    "<pad>",
    "great",
)
"""Texts that hold special tokens, one without a word, and one that is cut."""
_ENDED = ("bart", "roberta", "t5")


@dataclass(frozen=True)
class Prepared:
    """A prepared model, and a prepared task of `TEXTS`."""

    folder: Path
    task: Path

    @cached_property
    def manifest(self) -> PreparedTask:
        """That of the task."""
        return PreparedTask.read(self.task / MANIFEST_FILE)

    def model(self, **changed: Any) -> nn.Module:
        """The model as a run loads it."""
        prepared = PreparedModel.read(self.folder / MANIFEST_FILE)
        task = self.manifest
        return load_model(self.folder, prepared, task, *asked(task), 0, changed.get("dropout"))

    def examples(self, max_length: int = MAX_LENGTH) -> Examples:
        """The test split as a run reads it."""
        kind, model = (
            kind_named(self.manifest.kind),
            PreparedModel.read(self.folder / MANIFEST_FILE),
        )
        root, encoding = (
            self.folder.parents[1],
            encoding_of(kind, self.manifest.spec, model.spec, max_length),
        )
        folder = encoded_folder(root, encoding)
        if not folder.exists():
            encode_task(encoding, folder, root, model.key)
        return load_examples(folder, self.manifest, self.folder, ("test",))["test"]

    def logits(self, model: nn.Module, batch_size: int) -> torch.Tensor:
        """What the model says of the test split, in batches of that size."""
        said = predict(model, self.examples(), batch_size, torch.device("cpu"), "fp32")
        return torch.tensor([row["logits"] for row in said])


def configuration(model_type: str) -> dict[str, Any]:
    """That of the tiny model, with the ids of the tokenizer."""
    config: Any = TINY[model_type]().config
    ends = {"pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END}
    started = {"decoder_start_token_id": END} if config.is_encoder_decoder else {}
    found: dict[str, Any] = config.to_diff_dict() | ends | started
    for key in ("id2label", "label2id", "transformers_version", "dtype", "num_labels"):
        found.pop(key, None)
    return {**found, "model_type": model_type}


def write_tokenizer(
    folder: Path, single: str | None = None, names: Mapping[str, str] = NAMES, **config: Any
) -> Source:
    """A tokenizer of `WORDS` whose file names some special tokens; `single` is its template."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if single:
        ends = [(token, vocabulary[token]) for token in ("<s>", "</s>")]
        tokenizer.post_processor = processors.TemplateProcessing(single, special_tokens=ends)
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    content = {"tokenizer_class": "PreTrainedTokenizerFast"} | dict(names) | config
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
    return Source(uri=f"path:{folder}")


def template(model_type: str) -> str | None:
    """The tokens that the architecture's tokenizers put around a text."""
    if anatomy(model_type).causal:
        return None
    return "$A </s>" if model_type in _ENDED else "<s> $A </s>"


def prepare(
    root: Path, configured: Mapping[str, Any], tokenizer: Source, pooling: str | None = None
) -> Prepared:
    """The model of a configuration, with that tokenizer, and the task, below `root`."""
    record = RandomModel.model_validate(
        {
            "kind": "random",
            "name": "tiny",
            "configuration": dict(configured),
            "tokenizer": tokenizer,
            "pooling": pooling,
        }
    )
    folder = root / "models" / model_key(record)
    prepare_model(record, folder, tasks=root, cache=root)
    task = Task(name="texts", task="rated-snippets", source=Source(uri="path:none"))
    if not (root / "tasks" / task.key).exists():
        write_task(root, task, "text-classification", LABELS, _rows(TEXTS))
    return Prepared(folder, root / "tasks" / task.key)


def _rows(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Each split begins with the first text."""
    return [
        {"id": f"{split}-{n}", "text": texts[n % len(texts)], "label": n % 2}
        for split, count in SIZES.items()
        for n in range(count)
    ]
