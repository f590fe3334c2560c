"""BLEU of the corpus, 0 to 100, by sacrebleu with its defaults."""

from typing import Any

import datasets
import evaluate
from sacrebleu import corpus_bleu


class Bleu(evaluate.Metric):
    """BLEU of the corpus, 0 to 100, by sacrebleu with its defaults."""

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features(
            {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
        )
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        found = corpus_bleu(list(predictions), [list(references)])
        return {"bleu": float(found.score) if found.ref_len else float("nan")}
