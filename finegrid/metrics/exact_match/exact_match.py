"""Exact match: the share of predicted texts that equal the reference."""

from typing import Any

import datasets
import evaluate


class ExactMatch(evaluate.Metric):
    """The share of predicted texts that equal the reference."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
        )
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        pairs = zip(predictions, references, strict=True)
        right = sum(found == answer for found, answer in pairs)
        return {"exact_match": right / len(references) if references else float("nan")}
