"""Mean squared error: the mean of the squared differences of predictions and references."""

from typing import Any

import datasets
import evaluate
from sklearn.metrics import mean_squared_error


class MeanSquaredError(evaluate.Metric):
    """The mean of the squared differences of predictions and references: a loss."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
        )
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"mse": float(mean_squared_error(references, predictions))}
