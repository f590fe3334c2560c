"""Macro F1 of tags: the mean of the F1 of every tag that is true or predicted of a word."""

from itertools import chain
from typing import Any

import datasets
import evaluate
from sklearn.metrics import f1_score


class TokenMacroF1(evaluate.Metric):
    """The mean of the F1 of every tag that is true or predicted of a word."""

    def _info(self) -> evaluate.MetricInfo:
        tags = datasets.Sequence(datasets.Value("string"))
        features = datasets.Features({"predictions": tags, "references": tags})
        return evaluate.MetricInfo(
            description=__doc__ or "", citation="", inputs_description="", features=features
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        true, found = (list(chain.from_iterable(rows)) for rows in (references, predictions))
        known = sorted({*true, *found} - {None})
        said = ["" if tag is None else tag for tag in found]
        value = f1_score(true, said, labels=known, average="macro", zero_division=0.0)
        return {"token_macro_f1": float(value)}
