"""chrF of the corpus, 0 to 100, by sacrebleu with its defaults."""

from typing import Any

import evaluate
from sacrebleu import corpus_chrf

from finegrid.metrics.texts import streams, text_features
from finegrid.records.references import references as texts_of


class ChrF(evaluate.Metric):
    """chrF of the corpus, 0 to 100, by sacrebleu with its defaults."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="",
            features=text_features(),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        if not any(text.split() for given in references for text in texts_of(given)):
            return {"chrf": float("nan")}
        return {"chrf": float(corpus_chrf(list(predictions), streams(references)).score)}
