"""Whether a head that a checkpoint holds is one for a task's labels."""

from collections.abc import Mapping, Sequence
from typing import Any

_USUAL_LABELS = 2
"""Of a configuration that says nothing of labels."""


def kept_head_problem(
    configuration: Mapping[str, Any], labels: Sequence[str], width: int
) -> str | None:
    """Why the head of a configuration does not fit a task of those labels, or None.

    `width` is how many outputs the task takes. The same names in another order do not fit.
    """
    names = _names(configuration)
    if len(names) != width:
        return f"the checkpoint's head has {len(names)} outputs; allowed for the task: {width}"
    stored, own = [name.casefold() for name in names], [label.casefold() for label in labels]
    if stored != own and sorted(stored) == sorted(own):
        return (
            f"the checkpoint's head has the labels {', '.join(names)} in this order; "
            f"allowed for the task: {', '.join(labels)}"
        )
    return None


def _names(configuration: Mapping[str, Any]) -> list[str]:
    """The names of the outputs by index, as `id2label` or `num_labels` have them."""
    by_index = configuration.get("id2label")
    if isinstance(by_index, Mapping) and by_index:
        return [str(by_index[index]) for index in sorted(by_index, key=int)]
    return ["" for _ in range(int(configuration.get("num_labels") or _USUAL_LABELS))]
