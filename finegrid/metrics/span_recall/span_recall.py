"""Recall of entities, by scikit-learn over those that are true or predicted."""

from typing import Any

import datasets
import evaluate
from sklearn.metrics import recall_score

from finegrid.metrics.tags import scored


class SpanRecall(evaluate.Metric):
    """Recall of entities, which are texts."""

    def _info(self) -> evaluate.MetricInfo:
        texts = datasets.Sequence(datasets.Value("string"))
        features = datasets.Features({"predictions": texts, "references": texts})
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        rows = scored(predictions, references) or [(0, 0)]
        true, found = zip(*rows, strict=True)
        return {"span_recall": float(recall_score(true, found, zero_division=0))}
