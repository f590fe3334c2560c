"""Exact match: the share of predicted texts that equal the reference."""

from typing import Any

import evaluate

from finegrid.metrics.texts import text_features
from finegrid.records.references import references as texts_of


class ExactMatch(evaluate.Metric):
    """The share of predicted texts that equal the reference."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="",
            features=text_features(),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        pairs = zip(predictions, map(texts_of, references), strict=True)
        right = sum(found in answers for found, answers in pairs)
        return {"exact_match": right / len(references) if references else float("nan")}
