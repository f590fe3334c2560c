"""ROUGE-L: the mean F-measure of longest common subsequences of words, by rouge-score."""

from typing import Any

import datasets
import evaluate
from rouge_score.rouge_scorer import RougeScorer


class RougeL(evaluate.Metric):
    """The mean F-measure of longest common subsequences of words, without stemming."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
        )
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        scorer = RougeScorer(["rougeL"], use_stemmer=False)
        pairs = zip(references, predictions, strict=True)
        found = [scorer.score(*pair)["rougeL"].fmeasure for pair in pairs]
        return {"rouge_l": sum(found) / len(found) if found else float("nan")}
