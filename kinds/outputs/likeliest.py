"""The choice that a language model finds likeliest after a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from kinds.contract import Batch, Example, Row
from kinds.outputs.one_choice import OneChoice
from kinds.outputs.token_labels import learnt, log_likelihoods, next_tokens, padded, summed_loss

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn

_PLACES = ("label", "prediction", "prediction_norm")


@dataclass(frozen=True)
class LikeliestChoice(OneChoice):
    """The choice of the largest log-likelihood given the question, the sum over its tokens.

    Beside it that of the largest log-likelihood per character of the choice: Brown et al. 2020,
    arXiv:2005.14165, section 2.4, divide by tokens, and `acc_norm` of lm-evaluation-harness by
    characters, which do not depend on a tokenizer. The tokens of the right choice are learnt; those
    of the others and of the question are not.
    """

    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "acc_norm")
    lacking: ClassVar[str] = "examples lack the start of their question"

    def predicted(self) -> pa.Schema:
        """What can be read, and the numbers behind it."""
        import pyarrow as pa

        texts = dict.fromkeys(("question", "answer", "chosen", "chosen_norm"), pa.string())
        lists = {"choices": pa.list_(pa.string()), "log_likelihoods": pa.list_(pa.float64())}
        return pa.schema(texts | lists | dict.fromkeys(_PLACES, pa.float64()))

    def width(self, labels: Sequence[str]) -> int:
        """0: the head is the model's own, which pretraining has seen."""
        return 0

    def configure(self, labels: Sequence[str]) -> dict[str, Any]:
        """Nothing."""
        return {}

    def encode(
        self, rows: pa.Table, inputs: Sequence[Example], processor: Any, max_length: int
    ) -> list[Example]:
        """At each place the token of the choice that comes next; which choice it is.

        What a reader of the predictions sees stands beside the first choice and the right one.
        """
        columns = (rows[name].to_pylist() for name in ("answer", "question", "choices"))
        return list(_targets(inputs, zip(*columns, strict=True)))

    def encoded(self, target: Example) -> pa.Schema:
        """A list of 32-bit integers, two places, and texts."""
        import pyarrow as pa

        types = {"labels": pa.list_(pa.int32()), "choice": pa.int32(), "label": pa.int64()}
        return pa.schema(types | {"question": pa.string(), "choices": pa.list_(pa.string())})

    def is_learnt(self, target: Example) -> bool:
        """The right choice."""
        return bool(target["choice"] == target["label"])

    def weight(self, target: Example) -> int:
        """The tokens of the choice."""
        return learnt(target["labels"])

    def collate(self, targets: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Labels (batch, tokens), padded on the right with what is not learnt."""
        return {"labels": padded([target["labels"] for target in targets])}

    def blank(self, inputs: dict[str, torch.Tensor], terms: int) -> dict[str, torch.Tensor]:
        """The first token of the vocabulary at every place."""
        import torch

        return {"labels": torch.zeros_like(inputs["input_ids"])}

    def forward(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """What the model says at every place, (batch, tokens, vocabulary)."""
        found: torch.Tensor = model(**batch.inputs, use_cache=False).logits
        return found

    def smoothed_loss(self, model: nn.Module, batch: Batch, smoothing: float) -> torch.Tensor:
        """Cross-entropy, summed over the tokens of the choices."""
        logits = self.forward(model, batch).float()
        return summed_loss(logits, batch.targets["labels"], smoothing)

    def predict(self, model: nn.Module, batch: Batch) -> list[Row]:
        """The log-likelihood of each choice, in nats."""
        logits = self.forward(model, batch).float()
        return [{"log_likelihood": one} for one in log_likelihoods(logits, batch.targets["labels"])]

    def merged(
        self, said: Sequence[Row], inputs: Sequence[Example], targets: Sequence[Example]
    ) -> Row:
        """The log-likelihoods of all choices, in their order."""
        return {"log_likelihoods": [row["log_likelihood"] for row in said]}

    def truth(self, target: Example) -> Row:
        """The question, its choices, and the answer as text and as a place."""
        choices, label = target["choices"], target["label"]
        texts = {"question": target["question"], "choices": choices, "answer": choices[label]}
        return texts | {"label": label}

    def decide(self, said: Sequence[Row]) -> list[Row]:
        """The likeliest choice, whole and per character, of equal ones the first.

        Raises ValueError where a question has not a finite log-likelihood for each choice.
        """
        return [_decided(row) for row in said]

    def restored(self, rows: Sequence[Row]) -> list[Row]:
        """Places as metrics read them."""
        return [row | {name: int(row[name]) for name in _PLACES} for row in rows]


def _targets(
    inputs: Sequence[Example], records: Iterator[tuple[int, str, list[str]]]
) -> Iterator[Example]:
    """The target of each choice, of rows of an answer, a question and its choices."""
    for one in inputs:
        place = one["choice"]
        if place == 0:
            answer, question, choices = next(records)
        is_shown = place in (0, answer)
        yield {
            "labels": next_tokens(one),
            "choice": place,
            "label": answer,
            "question": question if is_shown else "",
            "choices": choices if is_shown else [],
        }


def _decided(row: Row) -> Row:
    import numpy as np

    if row["log_likelihoods"] is None or row["choices"] is None:
        raise ValueError("log-likelihoods or choices are missing")
    found, choices = np.asarray(row["log_likelihoods"], dtype=float), row["choices"]
    if len(found) != len(choices) or not np.isfinite(found).all():
        raise ValueError("a question has not a finite log-likelihood for each of its choices")
    likeliest, by_length = int(found.argmax()), int((found / list(map(len, choices))).argmax())
    places = {"prediction": likeliest, "prediction_norm": by_length}
    return places | {"chosen": choices[likeliest], "chosen_norm": choices[by_length]}
