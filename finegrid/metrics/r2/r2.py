"""R2: the share of the references' variance that the predictions explain."""

from typing import Any

import datasets
import evaluate
from sklearn.metrics import r2_score


class R2(evaluate.Metric):
    """1 - sum (y - f)^2 / sum (y - mean y)^2; no number where the references are all equal."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
        )
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"r2": float(r2_score(references, predictions, force_finite=False))}
