"""The span of a context that answers a question, or that none does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

from finegrid.records.base import Positive, Record
from kinds.contract import Batch, Example, Row
from kinds.inputs.answer_values import misplaced
from kinds.outputs.cross_entropy import CrossEntropy, summed_of_present

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn


class SpanDecoding(Record):
    """How what a model says of each token becomes an answer."""

    n_best: Positive = 20
    """Spans that are kept of a row, the likeliest."""
    max_answer_length: Positive = 30
    """Tokens of a span, at the most."""
    null_threshold: float = 0.0
    """Of a task with unanswerable questions: a row has no answer where the score of none is higher
    than that of the best span by more than this."""


LIKELIEST = SpanDecoding()


@dataclass(frozen=True)
class Spans(CrossEntropy):
    """Where the answer starts and ends, each learnt by cross-entropy over a window's tokens.

    A window that does not hold the whole answer has both at its first token, or at the one that
    stands for the whole sequence (Devlin et al. 2019, arXiv:1810.04805, section 4.3), whose
    sum of logits is the score of no answer. Over the windows of a row the best spans count, and
    the least score of no answer: one window that holds the answer is enough.
    """

    metrics: ClassVar[tuple[str, ...]] = ("squad_f1", "squad_em")
    truths: ClassVar = "spans"
    lacking: ClassVar[str] = "answers stand whole in no window"

    decoding: SpanDecoding = LIKELIEST
    unanswerable: bool = False

    def schema(self) -> pa.Schema:
        """Column `answers`: their texts, and where each starts in the context, in signs."""
        import pyarrow as pa

        lists = {"text": pa.list_(pa.string()), "answer_start": pa.list_(pa.int64())}
        return pa.schema([("answers", pa.struct(list(lists.items())))])

    def predicted(self) -> pa.Schema:
        """What can be read, and the best spans of the context with their scores."""
        import pyarrow as pa

        texts, numbers = pa.list_(pa.string()), pa.list_(pa.float64())
        return pa.schema(
            {
                "question": pa.string(),
                "answers": texts,
                "text": pa.string(),
                "spans": texts,
                "starts": pa.list_(pa.int64()),
                "scores": numbers,
                "null_score": pa.float64(),
            }
        )

    def label_problem(self, labels: Sequence[str]) -> str | None:
        """Spans have no names."""
        return f"labels: {list(labels)}; allowed: none, as they are spans" if labels else None

    def problems(self, rows: pa.Table, labels: Sequence[str]) -> Iterator[str]:
        """Answers that do not stand where they say, and rows that lack one."""
        for name, context, answers in zip(
            *(rows[column].to_pylist() for column in ("id", "context", "answers")), strict=True
        ):
            texts, starts = answers["text"], answers["answer_start"]
            if len(texts) != len(starts) or not all(map(str.strip, texts)):
                yield f"row {name!r}: {answers}; allowed: a text and a start for each answer"
            elif problem := misplaced(context, texts, starts):
                yield f"row {name!r}: {problem}"
            elif not texts and not self.unanswerable:
                yield f"row {name!r}: no answer; allowed: one, or unanswerable: true"

    def counts(self, rows: pa.Table, labels: Sequence[str]) -> dict[str, int]:
        """None: there are no names to count by."""
        return {}

    def width(self, labels: Sequence[str]) -> int:
        """2 for each token: start and end."""
        return 2

    def encode(
        self, rows: pa.Table, inputs: Sequence[Example], processor: Any, max_length: int
    ) -> list[Example]:
        """Start and end of the first answer, in each window that holds it whole.

        The first window of a row has what is true of it, and says how many tokens the answer has
        where no window holds it.
        """
        columns = (rows[name].to_pylist() for name in ("context", "question", "answers"))
        records = zip(*columns, strict=True)
        cls, found = processor.tokenizer.cls_token_id, list[Example]()
        for windows in _by_row(inputs):
            context, question, answers = next(records)
            own = [_target(window, answers, cls) for window in windows]
            lost = bool(answers["text"]) and not any(one["is_whole"] for one in own)
            own[0] |= {"question": question, "answers": answers["text"], "context": context}
            own[0]["left_out"] = int(lost)
            found += own
        return [{name: value for name, value in one.items() if name != "is_whole"} for one in found]

    def left_out(self, target: Example) -> int:
        """1 for a row whose answer no window holds."""
        return int(target["left_out"])

    def encoded(self, target: Example) -> pa.Schema:
        """Whole numbers, and texts."""
        import pyarrow as pa

        texts = {"question": pa.string(), "context": pa.string(), "answers": pa.list_(pa.string())}
        return pa.schema([(name, texts.get(name, pa.int32())) for name in target])

    def weight(self, target: Example) -> int:
        """1: the mean of start and end."""
        return 1

    def collate(self, targets: Sequence[Example]) -> dict[str, torch.Tensor]:
        """For each window, (batch,): start, end, where its context begins, and its tokens."""
        import torch

        return {name: torch.tensor([one[name] for one in targets]) for name in _PLACES}

    def blank(self, inputs: dict[str, torch.Tensor], terms: int) -> dict[str, torch.Tensor]:
        """The first token for start and end, and a context of all tokens."""
        import torch

        count, tokens = inputs["input_ids"].shape
        known = dict.fromkeys(_PLACES, 0) | {"tokens": tokens}
        zeros = torch.zeros(count, dtype=torch.long)
        return {name: zeros + value for name, value in known.items()}

    def forward(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The logits (batch, tokens, 2) of start and end; minus infinity where a batch is padded.

        What pads has no part in the loss, so that it is the same in every batch.
        """
        import torch

        said = model(**batch.inputs)
        logits = torch.stack([said.start_logits, said.end_logits], dim=-1)
        pads = batch.inputs["attention_mask"] == 0
        return logits.masked_fill(pads[..., None], -torch.inf)

    def smoothed_loss(self, model: nn.Module, batch: Batch, smoothing: float) -> torch.Tensor:
        """The mean of both cross-entropies over a window's tokens, summed over the windows."""
        logits = self.forward(model, batch).float()
        start, end = (
            summed_of_present(logits[..., side], batch.targets[name], smoothing)
            for side, name in enumerate(("start", "end"))
        )
        return (start + end) / 2

    def predict(self, model: nn.Module, batch: Batch) -> list[Row]:
        """The best spans of the context in each window, by tokens, and the score of no answer."""
        import torch

        logits = self.forward(model, batch).float()
        places = {name: tensor[:, None] for name, tensor in batch.targets.items()}
        at = torch.arange(logits.shape[1], device=logits.device)
        inside = (at >= places["first"]) & (at < places["first"] + places["tokens"])
        most = min(self.decoding.max_answer_length, logits.shape[1])
        starts, ends = logits.masked_fill(~inside[..., None], -torch.inf).unbind(-1)
        ends = torch.nn.functional.pad(ends, (0, most - 1), value=-torch.inf).unfold(1, most, 1)
        scores = (starts[..., None] + ends).flatten(1)  # (batch, tokens * lengths)
        best = scores.topk(min(self.decoding.n_best, scores.shape[1]))
        null = logits.gather(1, places["null"][..., None].expand(-1, 1, 2)).sum(dim=(1, 2))
        tokens = places["tokens"][:, 0]
        longest = tokens.clamp(max=most)
        counts = longest * tokens - longest * (longest - 1) // 2  # the spans that there are
        lists = (one.cpu().tolist() for one in (*best, null, counts))
        return [
            {
                "starts": [place // most for place in found[:count]],
                "lengths": [place % most + 1 for place in found[:count]],
                "scores": values[:count],
                "null_score": none,
            }
            for values, found, none, count in zip(*lists, strict=True)
        ]

    def merged(
        self, said: Sequence[Row], inputs: Sequence[Example], targets: Sequence[Example]
    ) -> Row:
        """The best spans over all windows of a row, each once, and the least score of no answer."""
        found: dict[tuple[int, int], float] = {}
        for row, window in zip(said, inputs, strict=True):
            spans = zip(row["starts"], row["lengths"], row["scores"], strict=True)
            for start, length, score in spans:
                at = start - window["first"]
                last = 2 * (at + length) - 1
                span = int(window["offsets"][2 * at]), int(window["offsets"][last])
                # a score that is no number is kept: it says that training has diverged
                if not score <= found.get(span, -float("inf")):
                    found[span] = score
        best = sorted(found, key=lambda span: (-found[span], span))[: self.decoding.n_best]
        context = targets[0]["context"]
        return {
            "spans": [context[start:end] for start, end in best],
            "starts": [start for start, _ in best],
            "scores": [found[span] for span in best],
            "null_score": min(row["null_score"] for row in said),
        }

    def truth(self, target: Example) -> Row:
        """The question, and the texts that answer it; none where nothing does."""
        return {"question": target["question"], "answers": target["answers"]}

    def decide(self, said: Sequence[Row]) -> list[Row]:
        """The best span, or an empty text where the score of no answer is higher.

        Raises ValueError for a row without spans or with scores that are no finite numbers.
        """
        return [{"text": self._decided(row)} for row in said]

    def restored(self, rows: Sequence[Row]) -> list[Row]:
        """Answers as lists."""
        return [row | {"answers": list(row["answers"])} for row in rows]

    def _decided(self, row: Row) -> str:
        if row["spans"] is None or row["null_score"] is None:
            raise ValueError("spans are missing")
        scores, none = list(row["scores"]), row["null_score"]
        if len(scores) != len(row["spans"]) or not all(map(isfinite, (*scores, none))):
            raise ValueError("a span has no finite score")
        if not scores:
            return ""
        is_null = none - scores[0] > self.decoding.null_threshold
        return "" if self.unanswerable and is_null else str(row["spans"][0]).strip()


_PLACES = ("start", "end", "null", "first", "tokens")
"""Of a window, by its tokens: start and end of the answer, which token stands for no answer, where
the context begins, and how many tokens it has."""


def _by_row(windows: Sequence[Example]) -> Iterator[list[Example]]:
    """The windows of each row."""
    own: list[Example] = []
    for window in windows:
        if window["window"] == 0 and own:
            yield own
            own = []
        own.append(window)
    if own:
        yield own


def _target(window: Example, answers: dict[str, Any], cls: int | None) -> Example:
    """Start and end of the first answer among the tokens of a window that holds it whole."""
    ids, places = list(window["input_ids"]), window["offsets"]
    null = ids.index(cls) if cls in ids else 0
    found: Example = {"start": null, "end": null, "null": null, "first": window["first"]}
    found |= {"tokens": len(places) // 2, "question": "", "answers": [], "context": ""}
    found |= {"left_out": 0, "is_whole": False}
    if span := _within(places, answers):
        first, last = (window["first"] + at for at in span)
        found |= {"start": first, "end": last, "is_whole": True}
    return found


def _within(places: Sequence[int], answers: dict[str, Any]) -> tuple[int, int] | None:
    """The first and the last token of the first answer, or None where a window lacks some of it.

    A token has a part in the answer that shares a sign with it, spaces about the answer aside.
    """
    if not answers["text"]:
        return None
    text, start = answers["text"][0], answers["answer_start"][0]
    start, end = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
    starts, ends = places[0::2], places[1::2]
    tokens = [at for at in range(len(starts)) if starts[at] < end and ends[at] > start]
    if not tokens or starts[tokens[0]] > start or ends[tokens[-1]] < end:
        return None
    return tokens[0], tokens[-1]
