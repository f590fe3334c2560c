"""Predictions of memory, kept by all that decides them. Loads no torch.

The seeds of a cell take one and the same step: the first of its runs traces it, or the forecast
has done so before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finegrid.models.family import family_module
from finegrid.records.identity import content_hash
from finegrid.records.kept import Kept
from finegrid.records.prediction import Prediction, Question
from finegrid.records.source import source_digest
from finegrid.records.training import Training, accumulates, is_quantised
from kinds import registry as kinds
from methods.registry import METHODS
from tasks.registry import TASKS

FOLDER = "predictions"
TRACE = "finegrid.training.measure.prediction"
"""The module that traces."""
TRACED = (
    *("optimizer", "gradient_checkpointing", "dropout", "dropout_scope", "dtype", "device"),
    *("weights", "double_quantisation", "devices", "strategy", "micro_batch_units"),
    "label_smoothing",
)
"""Keys of `training` that a step's memory depends on, its batch aside."""
_LOGGER = logging.getLogger(__name__)
_LIBRARIES = ("torch", "transformers", "peft")


@cache
def _versions() -> list[str]:
    return [version(name) for name in _LIBRARIES]


def _quantiser(training: Training) -> list[str]:
    """The version of what quantises the base, where something does."""
    return [version("bitsandbytes")] if is_quantised(training.weights) else []


@dataclass(frozen=True)
class Traces:
    """The predictions that are kept below a folder of what is prepared."""

    prepared: Path
    _digests: dict[tuple[str, ...], str] = field(default_factory=dict)

    def known(self, question: Question) -> Prediction | None:
        """What is kept; None where nothing is, or nothing that can be read as it was written."""
        try:
            return Kept[Prediction].read(self._file(question)).content
        except (OSError, ValidationError):
            return None

    def keep(self, question: Question, prediction: Prediction) -> None:
        """Keep a prediction. Raises OSError."""
        Kept[Prediction].of(prediction).write(self._file(question))

    def asked(self, question: Question, predict: Callable[[Question], Prediction]) -> Prediction:
        """What is kept, or what is predicted now and kept where the folder takes it.

        A folder that takes none, as one mounted to be read alone, costs the next run a trace.
        """
        if (known := self.known(question)) is not None:
            return known
        found = predict(question)
        try:
            self.keep(question, found)
        except OSError as error:
            _LOGGER.warning("the trace of the step is not kept: %s", error)
        return found

    def name(self, question: Question) -> str:
        """A hash of all that decides the answer."""
        return content_hash(self._identity(question))

    def _file(self, question: Question) -> Path:
        return self.prepared / FOLDER / f"{self.name(question)}.json"

    def _identity(self, question: Question) -> dict[str, Any]:
        """All that decides the answer."""
        spec = question.spec
        task = TASKS.build(spec.task.task, spec.task.options)
        options = [dict(task.kind_options)] if task.kind_options else []
        return {
            "model": spec.model.configuration,
            "pooling": spec.model.pooling,
            "method": spec.variant.method,
            "settings": spec.variant.settings,
            "drawn_modules": question.drawn_modules,
            "outputs": [task.kind, len(task.labels), *options],
            "training": spec.training.model_dump(mode="json", include=set(TRACED)),
            "batch": question.batch,
            **({"terms": question.terms} if question.terms else {}),
            "accumulates": accumulates(spec.training, question.batch[1]),
            "source": self._digest(
                METHODS.get(spec.variant.method).__module__,
                family_module(spec.model.configuration),
                *kinds.modules(task.kind),
            ),
            "libraries": [*_versions(), *_quantiser(spec.training)],
        }

    def _digest(self, *modules: str) -> str:
        if modules not in self._digests:
            self._digests[modules] = source_digest([TRACE, *modules])
        return self._digests[modules]
