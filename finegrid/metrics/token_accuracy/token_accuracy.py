"""Accuracy of tags: the share of words whose predicted tag equals the reference."""

from itertools import chain
from typing import Any

import datasets
import evaluate
from sklearn.metrics import accuracy_score


class TokenAccuracy(evaluate.Metric):
    """The share of words whose predicted tag equals the reference."""

    def _info(self) -> evaluate.MetricInfo:
        tags = datasets.Sequence(datasets.Value("string"))
        features = datasets.Features({"predictions": tags, "references": tags})
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        true, found = (list(chain.from_iterable(rows)) for rows in (references, predictions))
        unread = ["" if tag is None else tag for tag in found]
        return {"token_accuracy": float(accuracy_score(true, unread))}
