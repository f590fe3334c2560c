"""chrF of the corpus, 0 to 100, by sacrebleu with its defaults."""

from typing import Any

import datasets
import evaluate
from sacrebleu import corpus_chrf


class ChrF(evaluate.Metric):
    """chrF of the corpus, 0 to 100, by sacrebleu with its defaults."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
        )
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        if not any(text.split() for text in references):
            return {"chrf": float("nan")}
        return {"chrf": float(corpus_chrf(list(predictions), [list(references)]).score)}
