"""Runs that measure as briefly as they can: of tiny runs, measuring takes most of the time.

How memory is predicted and latency measured is tested by direct calls, and by runs in processes of
their own, which measure as a user's do.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from finegrid.records.costs import Memory
from finegrid.records.identity import canonical_json
from finegrid.records.prediction import Question
from finegrid.records.specification import Specification
from finegrid.training.measure import costs, inference
from finegrid.training.measure.prediction import with_prediction
from finegrid.training.measure.traces import Traces

NOT_OF_A_STEP: dict[str, Any] = {
    "seed": True,
    "training": {"epochs", "evaluations", "learning_rate"},
}
"""What of a specification decides no step's memory, and differs most from test to test."""
_peaks: dict[str, int] = {}


@contextmanager
def brief(*, is_traced: bool = True) -> Iterator[None]:
    """Runs in this process time the fewest rounds, and trace each step once a session or never."""
    with (
        patch.object(inference, "BUDGET_SECONDS", 0.0),
        patch.object(costs, "with_prediction", _predicted if is_traced else _untraced),
    ):
        yield


def _untraced(memory: Memory, *given: object) -> Memory:
    """As it was measured, of a run whose trace no test looks at."""
    return memory


def _predicted(
    memory: Memory, spec: Specification, traces: Traces, drawn_modules: tuple[str, ...] = ()
) -> Memory:
    """As `with_prediction`, which is asked again for a step whose trace has failed."""
    question = Question(spec=spec, batch=memory.batch, drawn_modules=drawn_modules)
    step = canonical_json(question.model_dump(mode="json", exclude={"spec": NOT_OF_A_STEP}))
    if step not in _peaks:
        found = with_prediction(memory, spec, traces, drawn_modules)
        gc.freeze()  # again, as `pytest_collection_finish` has it: a trace ends it
        if found.predicted_peak_bytes is None:
            return found
        _peaks[step] = found.predicted_peak_bytes
    return memory.model_copy(update={"predicted_peak_bytes": _peaks[step]})
