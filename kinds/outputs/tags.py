"""A tag for each word, one of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from kinds.contract import Batch, Example, Row
from kinds.inputs.word_lists import UNREAD
from kinds.outputs.cross_entropy import CrossEntropy
from kinds.outputs.tag_schemes import GRAMMARS, PLAIN, Grammar, Scheme, names_entities
from kinds.outputs.token_labels import LEFT_OUT, padded, summed_loss

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn

_SHOWN = 5
_OF_ENTITIES = ("span_f1", "span_precision", "span_recall", "token_accuracy")
_OF_WORDS = ("token_accuracy", "token_macro_f1")


@dataclass(frozen=True)
class Tags(CrossEntropy):
    """The tag of the largest logit at the first token of each word, learnt by cross-entropy.

    The other tokens of a word have no part in the loss. A word that the model does not read gets no
    tag, which metrics count as wrong. Where tags name entities, these are among the predictions: an
    entity is its type, its first word and the one behind its last, as `PER:0:2`.
    """

    truths: ClassVar = "tags"
    lacking: ClassVar[str] = "examples lack their end"

    labels: tuple[str, ...] = ()
    """The names of the tags, by the index of their class."""
    scheme: Scheme | None = None
    """How tags name entities; None is for tags whose names are those of no scheme."""

    @property
    def metrics(self) -> tuple[str, ...]:  # type: ignore[override]  # as the scheme says
        """Those of entities and the accuracy of tags, or those of single words."""
        return _OF_ENTITIES if self._grammar else _OF_WORDS

    @property
    def _grammar(self) -> Grammar | None:
        """The scheme's; None of tags that name no entities."""
        return GRAMMARS.get(self.scheme) if self.scheme else None

    def schema(self) -> pa.Schema:
        """Column `tags`: the name of each word's tag."""
        import pyarrow as pa

        return pa.schema([("tags", pa.list_(pa.string()))])

    def predicted(self) -> pa.Schema:
        """Words with true and predicted tags and entities, which were read, and their classes."""
        import pyarrow as pa

        words, numbers = pa.list_(pa.string()), pa.list_(pa.int64())
        entities = ("entities", "predicted_entities") if self._grammar else ()
        columns = dict.fromkeys(("tokens", "tags", "predicted", *entities), words)
        return pa.schema(columns | {"read": numbers, "classes": numbers})

    def label_problem(self, labels: Sequence[str]) -> str | None:
        """Tags have names, which are two or more, and a scheme where these look like one's."""
        if len(labels) < 2:
            return f"labels: {list(labels)}; allowed: 2 tags or more"
        if self.scheme is None and names_entities(labels):
            return f"scheme: None; allowed for such tags: {', '.join((*GRAMMARS, PLAIN))}"
        return None

    def problems(self, rows: pa.Table, labels: Sequence[str]) -> Iterator[str]:
        """Rows without one tag for each word, with tags that have no name, or not in the scheme."""
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
            if self._grammar and (misfit := self._grammar.misfit(tags.as_py())):
                yield f"row {row.as_py()!r} is not in {self.scheme}: {misfit}"
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

    def smoothed_loss(self, model: nn.Module, batch: Batch, smoothing: float) -> torch.Tensor:
        """Cross-entropy, summed over the words that are read."""
        logits = self.forward(model, batch).float()
        return summed_loss(logits, batch.targets["labels"], smoothing)

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
        """The words, their tags and entities, and which of the words are read."""
        words, tags = (list(target[name]) for name in ("tokens", "tags"))
        read = [int(word) for word in target["read"]]
        return {"tokens": words, "tags": tags, **self._entities("entities", tags), "read": read}

    def decide(self, said: Sequence[Row]) -> list[Row]:
        """The names of the tags, none for a word that is not read, and the entities that they name.

        Raises ValueError for a class that is none, or for other words than are read.
        """
        named = map(self._named, said)
        return [{"predicted": one, **self._entities("predicted_entities", one)} for one in named]

    def _entities(self, column: str, tags: Sequence[str | None]) -> dict[str, list[str]]:
        """A column of the entities, in the order of their words; none of plain tags."""
        if self._grammar is None:
            return {}
        found = sorted(self._grammar.entities(tags), key=lambda one: one[1])
        return {column: [":".join(map(str, one)) for one in found]}

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
