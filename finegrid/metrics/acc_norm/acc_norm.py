"""Length-normalised accuracy: the share of length-normalised predictions that are right."""

from typing import Any

import datasets
import evaluate
from sklearn.metrics import accuracy_score


class AccNorm(evaluate.Metric):
    """The share of length-normalised predictions that equal the reference."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
        )
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"acc_norm": float(accuracy_score(references, predictions))}
