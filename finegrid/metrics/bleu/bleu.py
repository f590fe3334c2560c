"""BLEU of the corpus, 0 to 100, by sacrebleu with its defaults."""

from typing import Any

import evaluate
from sacrebleu import corpus_bleu

from finegrid.metrics.texts import streams, text_features


class Bleu(evaluate.Metric):
    """BLEU of the corpus, 0 to 100, by sacrebleu with its defaults."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="",
            features=text_features(),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        found = corpus_bleu(list(predictions), streams(references))
        return {"bleu": float(found.score) if found.ref_len else float("nan")}
