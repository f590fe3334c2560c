"""Questions about contexts, held to the contract and to what is particular to them."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn
from transformers import AutoModelForQuestionAnswering

from finegrid.training.data import Examples
from finegrid.training.evaluation import predictions
from kinds.contract import RowError
from kinds.registry import kind_named
from tests.kinds.contract import ROWS, Bench, KindContract
from tests.kinds.test_multiple_choice import folder_of, model_of

CONTEXTS = [
    "the film was great",
    "warm dull film",
    "the plot was dull the film was great the plot was warm",
    "dull great warm the",
    "film plot was",
    "great the plot the film was dull warm",
    "was warm",
    "plot dull was great",
]
QUESTIONS = ["film", "warm", "plot was", "the", "was", "great", "dull", "plot"]
ANSWERS = [(0, 8), (0, 4), (47, 54), (5, 10), (5, 9), (0, 9), (4, 8), None]


def squad(context: str, span: tuple[int, int] | None) -> dict[str, list[Any]]:
    """A span of a context as SQuAD has it."""
    if span is None:
        return {"text": [], "answer_start": []}
    return {"text": [context[slice(*span)]], "answer_start": [span[0]]}


class TestQuestionAnswering(KindContract):
    """Of one window each, one question without an answer."""

    kind = "question-answering"
    options: ClassVar = {"unanswerable": True}
    columns: ClassVar = {
        "context": CONTEXTS,
        "question": QUESTIONS,
        "answers": [squad(*pair) for pair in zip(CONTEXTS, ANSWERS, strict=True)],
    }
    max_length = 20

    def model(self) -> nn.Module:
        return model_of(AutoModelForQuestionAnswering, num_labels=2)

    def folder(self, root: Path) -> Path:
        return folder_of(root)
