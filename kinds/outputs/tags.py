"""A tag for each word, one of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from finegrid.records.iob2 import names_entities
from kinds.contract import Batch, Example, Output, Row
from kinds.inputs.word_lists import UNREAD
from kinds.outputs.token_labels import LEFT_OUT, padded

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn

_SHOWN = 5
_ENTITIES = ("span_f1", "span_precision", "span_recall")


@dataclass(frozen=True)
class Tags(Output):
    """The tag of the largest logit at the first token of each word, learnt by cross-entropy.

    The other tokens of a word have no part in the loss. A word that the model does not read gets no
    tag, which metrics count as wrong.
    """

    truths: ClassVar = "tags"

    labels: tuple[str, ...] = ()
    """The names of the tags, by the index of their class."""

    @property
    def metrics(self) -> tuple[str, ...]:  # type: ignore[override]  # as the tags' names say
        """Those of entities where the tags name some, and the accuracy of tags."""
        return (*(_ENTITIES if names_entities(self.labels) else ()), "token_accuracy")

    def schema(self) -> pa.Schema:
        """Column `tags`: the name of each word's tag."""
        import pyarrow as pa

        return pa.schema([("tags", pa.list_(pa.string()))])

    def predicted(self) -> pa.Schema:
        """Words with their true and predicted tags, which of them were read, and their classes."""
        import pyarrow as pa

        words, numbers = pa.list_(pa.string()), pa.list_(pa.int64())
        columns = dict.fromkeys(("tokens", "tags", "predicted"), words)
        return pa.schema(columns | {"read": numbers, "classes": numbers})

    def label_problem(self, labels: Sequence[str]) -> str | None:
        """Tags have names, which are two or more."""
        return None if len(labels) >= 2 else f"labels: {list(labels)}; allowed: 2 tags or more"

    def problems(self, rows: pa.Table, labels: Sequence[str]) -> Iterator[str]:
        """Rows that have not one tag for each word, and tags that have no name."""
        known = set(labels)
        columns = (rows[name] for name in ("id", "tokens", "tags"))
        for row, words, tags in zip(*columns, strict=True):
            if len(words) != len(tags):
                where = f"{len(words)} tokens and {len(tags)} tags in row {row.as_py()!r}"
                yield f"{where}; allowed: one tag a token"
                return
            if wrong := [str(tag) for tag in tags.as_py() if tag not in known]:
                shown = ", ".join(labels[:_SHOWN]) + (", ..." if len(labels) > _SHOWN else "")
                yield f"{wrong[0]!r} in row {row.as_py()!r} is no tag of the task; allowed: {shown}"
                return

    def counts(self, rows: pa.Table, labels: Sequence[str]) -> dict[str, int]:
        """Words by tag."""
        found = Counter(tag for tags in rows["tags"].to_pylist() for tag in tags)
        return {label: found[label] for label in labels}

    def width(self, labels: Sequence[str]) -> int:
        """A logit a tag."""
        return len(labels)

    def encode(
        self, rows: pa.Table, inputs: Sequence[Example], processor: Any, max_length: int
    ) -> list[Example]:
        """The class of a word at its first token, words and tags, and which words are read."""
        index = {label: number for number, label in enumerate(self.labels)}
        columns = (rows[name].to_pylist() for name in ("tokens", "tags"))
        return [
            _target(one, tokens, tags, index)
            for one, tokens, tags in zip(inputs, *columns, strict=True)
        ]

    def encoded(self, target: Example) -> pa.Schema:
        """Lists of 32-bit integers, and of texts."""
        import pyarrow as pa

        texts, numbers = pa.list_(pa.string()), pa.list_(pa.int32())
        types = {"labels": numbers, "tokens": texts, "tags": texts, "read": numbers}
        return pa.schema(types)

    def weight(self, target: Example) -> int:
        """The words that are read."""
        return len(target["read"])

    def collate(self, targets: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Classes (batch, tokens), padded on the right with what is not learnt."""
        return {"labels": padded([target["labels"] for target in targets])}

    def blank(self, inputs: dict[str, torch.Tensor], terms: int) -> dict[str, torch.Tensor]:
        """The first tag at every place."""
        import torch

        return {"labels": torch.zeros_like(inputs["input_ids"])}

    def forward(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The logits of the tokens, (batch, tokens, tags)."""
        logits: torch.Tensor = model(**batch.inputs).logits
        return logits

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy, summed over the words that are read."""
        from torch.nn.functional import cross_entropy

        logits, labels = self.forward(model, batch).float(), batch.targets["labels"]
        return cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="sum", ignore_index=LEFT_OUT
        )

    def predict(self, model: nn.Module, batch: Batch) -> list[Row]:
        """The class of the largest logit for each word that is read.

        Where a logit is no finite number nothing follows: the class is a float that is none.
        """
        logits = self.forward(model, batch).float()  # (batch, tokens, tags)
        classes = logits.argmax(dim=2).cpu()
        is_finite = logits.isfinite().all(dim=2).cpu()
        places = (batch.targets["labels"] != LEFT_OUT).cpu()
        return [{"classes": _classes(*one)} for one in zip(classes, is_finite, places, strict=True)]

    def truth(self, target: Example) -> Row:
        """The words, their tags, and which of the words are read."""
        return {name: list(target[name]) for name in ("tokens", "tags")} | {
            "read": [int(word) for word in target["read"]]
        }

    def decide(self, said: Sequence[Row]) -> list[Row]:
        """The names of the tags; none for a word that is not read.

        Raises ValueError for a class that is none, or for other words than are read.
        """
        return [{"predicted": self._named(row)} for row in said]

    def _named(self, row: Row) -> list[str | None]:
        read, classes = row["read"], row["classes"]
        if read is None or classes is None or len(read) != len(classes):
            raise ValueError("there is not one class for each word that is read")
        if not all(0 <= one < len(self.labels) for one in classes):
            raise ValueError(f"a class is none of the {len(self.labels)} tags")
        found: list[str | None] = [None] * len(row["tags"])
        for word, one in zip(read, classes, strict=True):
            found[word] = self.labels[one]
        return found


def _target(example: Example, tokens: list[str], tags: list[str], index: dict[str, int]) -> Example:
    labels = [LEFT_OUT] * len(example["input_ids"])
    read = [word for word, place in enumerate(example["starts"]) if place != UNREAD]
    for word in read:
        labels[example["starts"][word]] = index[tags[word]]
    return {"labels": labels, "tokens": tokens, "tags": tags, "read": read}


def _classes(classes: torch.Tensor, is_finite: torch.Tensor, places: torch.Tensor) -> list[Any]:
    if not is_finite[places].all():
        return [float("nan")]
    found: list[Any] = classes[places].tolist()
    return found
