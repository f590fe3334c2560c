"""Perplexity: exp of the mean negative log-likelihood of the tokens of the references."""

import math
from typing import Any

import datasets
import evaluate


class Perplexity(evaluate.Metric):
    """Of log-likelihoods (predictions) of texts with so many tokens (references)."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
        )
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        tokens = sum(references)
        if not tokens:
            return {"perplexity": math.nan}
        try:
            return {"perplexity": math.exp(-math.fsum(predictions) / tokens)}
        except OverflowError:
            return {"perplexity": math.inf}
