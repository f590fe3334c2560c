"""finegrid measures what each way of fine-tuning costs, and what it buys.

The names below are what a plug-in needs: `from finegrid import Method, register_method`. Each is
loaded when it is asked for, so that a plug-in which adds a task loads nothing of methods.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finegrid.metrics.contract import Metric as Metric
    from finegrid.metrics.contract import WeightedMetric as WeightedMetric
    from finegrid.metrics.registry import register as register_metric  # noqa: F401
    from finegrid.models.anatomy import Anatomy as Anatomy
    from finegrid.models.coverage import refusal as refusal
    from finegrid.models.family import Family as Family
    from finegrid.models.layers import Layer as Layer
    from finegrid.models.layers import linear_layers as linear_layers
    from kinds.contract import Kind as Kind
    from kinds.contract import Output as Output
    from kinds.inputs.contract import Inputs as Inputs
    from kinds.registry import register as register_kind  # noqa: F401
    from methods.contract import Method as Method
    from methods.injection import add_parameters as add_parameters
    from methods.injection import added as added
    from methods.injection import change_output as change_output
    from methods.injection import remove as remove
    from methods.registry import register as register_method  # noqa: F401
    from methods.steps import Steps as Steps
    from tasks.contract import Task as Task
    from tasks.registry import register as register_task  # noqa: F401

FACE = {
    "Anatomy": "finegrid.models.anatomy",
    "Family": "finegrid.models.family",
    "Inputs": "kinds.inputs.contract",
    "Kind": "kinds.contract",
    "Layer": "finegrid.models.layers",
    "Method": "methods.contract",
    "Metric": "finegrid.metrics.contract",
    "Output": "kinds.contract",
    "Steps": "methods.steps",
    "Task": "tasks.contract",
    "WeightedMetric": "finegrid.metrics.contract",
    "add_parameters": "methods.injection",
    "added": "methods.injection",
    "change_output": "methods.injection",
    "linear_layers": "finegrid.models.layers",
    "refusal": "finegrid.models.coverage",
    "register_kind": "kinds.registry",
    "register_metric": "finegrid.metrics.registry",
    "register_method": "methods.registry",
    "register_task": "tasks.registry",
    "remove": "methods.injection",
}
"""Name -> the module that holds it; a registry's `register` bears the name of what it registers."""


def __getattr__(name: str) -> Any:
    """The object behind a name of the face. Raises AttributeError for any other name."""
    if name not in FACE:
        raise AttributeError(f"finegrid has no name {name!r}; allowed: {', '.join(FACE)}")
    module = import_module(FACE[name])
    return getattr(module, "register" if name.startswith("register_") else name)
