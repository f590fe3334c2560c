"""Spearman: the Spearman rank correlation of predictions and references."""

from typing import Any

import datasets
import evaluate
from scipy.stats import spearmanr


class Spearman(evaluate.Metric):
    """The Spearman rank correlation of predictions and references."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
        )
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"spearman": float(spearmanr(references, predictions).statistic)}
