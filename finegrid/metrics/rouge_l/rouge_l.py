"""ROUGE-L: the mean F-measure of longest common subsequences of words, by rouge-score."""

from typing import Any

import evaluate
from rouge_score.rouge_scorer import RougeScorer

from finegrid.metrics.texts import text_features
from finegrid.records.references import references as texts_of


class RougeL(evaluate.Metric):
    """The mean F-measure of longest common subsequences of words, without stemming."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="",
            features=text_features(),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        scorer = RougeScorer(["rougeL"], use_stemmer=False)
        pairs = zip(map(texts_of, references), predictions, strict=True)
        found = [scorer.score_multi(*pair)["rougeL"].fmeasure for pair in pairs]
        return {"rouge_l": sum(found) / len(found) if found else float("nan")}
