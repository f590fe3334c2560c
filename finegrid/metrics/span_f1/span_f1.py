"""F1 of entities, by scikit-learn over those that are true or predicted."""

from typing import Any

import datasets
import evaluate
from sklearn.metrics import f1_score

from finegrid.metrics.tags import scored


class SpanF1(evaluate.Metric):
    """F1 of entities, which are texts."""

    def _info(self) -> evaluate.MetricInfo:
        texts = datasets.Sequence(datasets.Value("string"))
        features = datasets.Features({"predictions": texts, "references": texts})
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        rows = scored(predictions, references) or [(0, 0)]
        true, found = zip(*rows, strict=True)
        return {"span_f1": float(f1_score(true, found, zero_division=0))}
