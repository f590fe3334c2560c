"""Words that wrappers of a model put into the names of its weights, and that can be taken off."""

from collections.abc import Iterable, Set

from finegrid.records.weights import WeightsError

_INNER = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What compilation, sharding and checkpointing of a module put at its place, wherever that is."""
_OUTER = ("_forward_module", "model", "module")
"""What a wrapper of the whole model puts in front of every name."""


def unwrapped(stored: Iterable[str], known: Set[str]) -> tuple[dict[str, str], list[str]]:
    """Stored name -> name without the words of wrappers; and these words, those in front first.

    A word in front is taken off only where no name is `known` with it, some are without, and no
    other word leads there. What stands beside the model, such as a loss of its own, keeps its name.
    Raises WeightsError where two names become one.
    """
    inner = {name: _without_inner(name) for name in stored}
    names, front = _without_front(inner, known)
    if len(set(names.values())) < len(names):
        twice = sorted(name for name in names if list(names.values()).count(names[name]) > 1)
        raise WeightsError(f"names of weights that are one without a wrapper's words: {twice[:2]}")
    found = [word for word in _INNER if any(word in name.split(".") for name in names)]
    return names, [f"{word}." for word in (*front, *found)]


def _without_inner(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _INNER)


def _without_front(inner: dict[str, str], known: Set[str]) -> tuple[dict[str, str], list[str]]:
    names, front = inner, []
    while not known & set(names.values()):
        words = [w for w in _OUTER if any(n.startswith(f"{w}.") for n in names.values())]
        if len(words) != 1:
            return inner, []  # nothing is known to lead to the model: its names are told as stored
        front += words
        names = {name: own.removeprefix(f"{words[0]}.") for name, own in names.items()}
    return names, front
