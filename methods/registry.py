"""The registry of methods: every file of this room, and every installed plug-in."""

from finegrid.records.registry import Registry
from methods.contract import Method

METHODS: Registry[Method] = Registry("method", Method, "methods")
register = METHODS.register


def training_methods() -> list[str]:
    """The names of all methods but those that train nothing."""
    return [name for name in METHODS if METHODS.get(name).trains]
