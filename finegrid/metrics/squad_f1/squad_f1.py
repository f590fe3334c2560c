"""The mean F-measure of words with the answer that fits best, as SQuAD normalises both."""

from typing import Any

import datasets
import evaluate

from finegrid.metrics.answers import best, overlap


class SquadF1(evaluate.Metric):
    """The mean F-measure of words with the answer that fits best, as SQuAD normalises both."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": datasets.Sequence(text)})
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        pairs = zip(references, predictions, strict=True)
        found = [best(answers, text, overlap) for answers, text in pairs]
        return {"squad_f1": sum(found) / len(found) if found else float("nan")}
