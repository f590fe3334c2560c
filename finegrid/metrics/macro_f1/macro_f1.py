"""Macro F1: the mean of the F1 of every class that is a label or a prediction."""

from typing import Any

import datasets
import evaluate
from sklearn.metrics import f1_score


class MacroF1(evaluate.Metric):
    """The mean of the F1 of every class that is a label or a prediction."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
        )
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        value = f1_score(references, predictions, average="macro", zero_division=0.0)
        return {"macro_f1": float(value)}
