"""What outputs share that are texts: they are learnt token by token, and written by a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from finegrid.records.base import Positive, PositiveFloat, Record
from finegrid.records.references import references
from kinds.contract import Batch, Example, Row
from kinds.outputs.cross_entropy import CrossEntropy
from kinds.outputs.token_labels import LEFT_OUT, learnt, log_likelihoods, padded, summed_loss

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn

_SELECTING = "perplexity"
"""The metric of a model's loss: what selects by the loss selects by it."""
StopString = Annotated[str, Field(min_length=1)]
"""What ends a text: never empty, which would end each at once."""


class Decoding(Record):
    """How a model writes. Greedy, unless a temperature or beams are given."""

    max_new_tokens: Positive = 64
    num_beams: Positive = 1
    temperature: PositiveFloat | None = None
    """Of sampling; None: the likeliest token at each step, or the likeliest beam."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sampling is among the likeliest tokens that have this probability together."""
    top_k: Positive | None = None
    """Sampling is among that many of the likeliest tokens; None: among all."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of sampling."""
    repetition_penalty: PositiveFloat = 1.0
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0
    length_penalty: float = 1.0
    """Of beams."""
    stop_strings: Annotated[tuple[StopString, ...], Field(exclude_if=lambda value: not value)] = ()
    """A text ends where it holds one of these, which is cut off with all behind it."""


GREEDY = Decoding()


def _pattern(text: str) -> str:
    """Raises ValueError for what is no regular expression with at most one group."""
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"no regular expression: {error}; allowed: one") from error
    if groups > 1:
        raise ValueError(f"{groups} groups; allowed: one, which holds the answer, or none")
    return text


Answer = Annotated[str, AfterValidator(_pattern)]
"""A regular expression: its group, or all that it matches, is the answer in a text."""
SelectsBy = Literal["loss", "metric"]


@dataclass(frozen=True)
class Texts(CrossEntropy):
    """A text, learnt by the cross-entropy of its tokens."""

    metrics: ClassVar[tuple[str, ...]] = ("exact_match", "rouge_l", _SELECTING)
    truths: ClassVar = "texts"
    lacking: ClassVar[str] = "examples lack their end"
    written: ClassVar[frozenset[str]] = frozenset({"text", "extracted", "tokens", "end"})

    decoding: Decoding = GREEDY
    answer: Answer | None = None
    """Where the answer stands in a text; None: the whole text is the answer."""
    selects_by: SelectsBy = "loss"
    several_references: bool = False
    """Whether a target is a list of texts that are all right, of which the first is learnt."""

    def schema(self) -> pa.Schema:
        """Column `target`: the text, or a list of texts."""
        import pyarrow as pa

        return pa.schema([("target", self._true())])

    def _true(self) -> pa.DataType:
        """The type of what is true."""
        import pyarrow as pa

        return pa.list_(pa.string()) if self.several_references else pa.string()

    def predicted(self) -> pa.Schema:
        """The text that is true and what a model wrote, the answer in each, and their tokens."""
        import pyarrow as pa

        columns = dict.fromkeys(("reference", "answer"), self._true())
        columns |= dict.fromkeys(("text", "extracted", "end"), pa.string())
        columns |= {"tokens": pa.int64()}
        columns |= {"target_tokens": pa.int64(), "log_likelihood": pa.float64()}
        return pa.schema(columns)

    def label_problem(self, labels: Sequence[str]) -> str | None:
        """Texts have no names."""
        return f"labels: {list(labels)}; allowed: none, as they are texts" if labels else None

    def problems(self, rows: pa.Table, labels: Sequence[str]) -> Iterator[str]:
        """Blank targets, and a pattern of answers that matches none of them."""
        if blank := self._blank(rows["target"]):
            first = rows["id"][blank[0]].as_py()
            yield f"{len(blank)} blank targets, the first in row {first!r}; allowed: texts"
        if self.answer is not None:
            targets = rows["target"].to_pylist()
            lacking = [at for at, one in enumerate(targets) if None in self._answers(one)]
            if lacking:
                first = rows["id"][lacking[0]].as_py()
                yield (
                    f"answer: {self.answer!r} matches nothing in {len(lacking)} of {len(targets)} "
                    f"targets, the first in row {first!r}; allowed: a pattern of all answers"
                )

    def _blank(self, targets: pa.ChunkedArray) -> list[int]:
        """The rows without a text that is true, or with one that is blank."""
        import pyarrow.compute as pc

        if self.several_references:
            rows = enumerate(targets.to_pylist())
            return [at for at, texts in rows if not (texts and all(map(str.strip, texts)))]
        found: list[int] = (
            pc.equal(pc.utf8_trim_whitespace(targets), "").to_numpy().nonzero()[0].tolist()
        )
        return found

    def counts(self, rows: pa.Table, labels: Sequence[str]) -> dict[str, int]:
        """None: there are no names to count by."""
        return {}

    def width(self, labels: Sequence[str]) -> int:
        """0: the head is the model's own, which pretraining has seen."""
        return 0

    def configure(self, labels: Sequence[str]) -> dict[str, Any]:
        """Nothing."""
        return {}

    def encoded(self, target: Example) -> pa.Schema:
        """A list of 32-bit integers, and what is true; a pack has no text."""
        import pyarrow as pa

        types = {"labels": pa.list_(pa.int32()), "reference": self._true()}
        return pa.schema([(name, one) for name, one in types.items() if name in target])

    def is_altered(self, target: Example, processor: Any) -> bool:
        """Whether its tokens are read as another text, but for blanks about it: a tokenizer may
        lack a character, lower them all, or take a word for a special token. What is written is
        never the target then.
        """
        from kinds.outputs.generation import text_of

        ids = [int(one) for one in target["labels"] if one != LEFT_OUT]
        return text_of(ids, processor).strip() != references(target["reference"])[0].strip()

    def weight(self, target: Example) -> int:
        """The tokens that are learnt."""
        return learnt(target["labels"])

    def collate(self, targets: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Labels (batch, tokens), padded on the right with what is not learnt."""
        return {"labels": padded([target["labels"] for target in targets])}

    def smoothed_loss(self, model: nn.Module, batch: Batch, smoothing: float) -> torch.Tensor:
        """Cross-entropy over the vocabulary, summed over the tokens that are learnt."""
        logits = self.forward(model, batch).float()
        return summed_loss(logits, batch.targets["labels"], smoothing)

    def predict(self, model: nn.Module, batch: Batch) -> list[Row]:
        """The log-likelihood of each target, in nats, and the tokens that it is the sum over."""
        labels = batch.targets["labels"]
        likelihoods = log_likelihoods(self.forward(model, batch).float(), labels)
        counts = (labels != LEFT_OUT).sum(dim=1).cpu().tolist()
        names = ("log_likelihood", "target_tokens")
        return [dict(zip(names, one, strict=True)) for one in zip(likelihoods, counts, strict=True)]

    def write(self, model: Any, prompts: dict[str, torch.Tensor], processor: Any) -> list[Row]:
        """The text after each prompt, its tokens, and what ended it."""
        from kinds.outputs.generation import generate

        return generate(model, prompts, processor, self.decoding)

    def validated(self, metrics: Sequence[str]) -> tuple[str, ...]:
        """The perplexity alone, of which a pass over each example is enough; or all metrics."""
        return (_SELECTING,) if self.selects_by == "loss" else tuple(metrics)

    def truth(self, target: Example) -> Row:
        """The text, and the answer in it; lists of both where several texts are right."""
        texts = references(target["reference"])
        reference = texts if self.several_references else texts[0]
        return {"reference": reference, "answer": self._answer(reference)}

    def decide(self, said: Sequence[Row]) -> list[Row]:
        """The answers in what is true and in what the model wrote, empty where it holds none.

        Raises ValueError for a row without a text that is true.
        """
        if any(row["reference"] is None for row in said):
            raise ValueError("references are missing")
        return [
            {
                "answer": self._answer(row["reference"]),
                "extracted": None if row["text"] is None else self.answer_in(row["text"]) or "",
            }
            for row in said
        ]

    def counted(self, said: Sequence[Row]) -> dict[str, int]:
        """Texts that were cut, those that a string ended, and those that hold no answer."""
        written = [row["text"] for row in said if row["text"] is not None]
        found = {
            "texts were cut at max_new_tokens": sum(row["end"] == "length" for row in said),
            "texts ended at a stop string": sum(row["end"] == "string" for row in said),
            "texts hold no answer": sum(self.answer_in(text) is None for text in written),
        }
        return {what: count for what, count in found.items() if count}

    def _answer(self, reference: str | list[str]) -> str | list[str | None] | None:
        """The answer in what is true, or those in each of several."""
        found = self._answers(reference)
        return found if self.several_references else found[0]

    def _answers(self, reference: str | list[str]) -> list[str | None]:
        return list(map(self.answer_in, references(reference)))

    def answer_in(self, text: str) -> str | None:
        """The last answer in a text, without the spaces about it; None where there is none."""
        if self.answer is None:
            return text.strip() or None
        found = [match[match.re.groups] for match in re.finditer(self.answer, text)]
        last = found[-1] if found else None
        return None if last is None else last.strip() or None
