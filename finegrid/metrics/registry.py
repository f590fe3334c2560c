"""The registry of metrics: every folder of this room, and every installed plug-in."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from finegrid.metrics.contract import WeightedMetric
from finegrid.records.registry import Registry

METRICS: Registry[WeightedMetric] = Registry("metric", WeightedMetric, "finegrid.metrics")
register = METRICS.register


def metric(name: str) -> WeightedMetric:
    """The metric of that name. Raises UnknownNameError."""
    return METRICS.get(name)()


def columns_read(names: Iterable[str]) -> frozenset[str]:
    """The columns of predictions that these metrics read. Raises UnknownNameError."""
    return frozenset(column for name in names for column in metric(name).columns)


def reads(names: Iterable[str], columns: Collection[str]) -> bool:
    """Whether one of these metrics reads one of these columns. Raises UnknownNameError."""
    return not columns_read(names).isdisjoint(columns)


def score_module(name: str) -> str:
    """The module of `evaluate` of a metric, in the folder of its class. Raises UnknownNameError."""
    package = METRICS.get(name).__module__
    return f"{package}.{package.rpartition('.')[2]}"


def modules(names: Iterable[str]) -> list[str]:
    """The modules that decide the scores of these metrics. Raises UnknownNameError."""
    return [one for name in names for one in (METRICS.get(name).__module__, score_module(name))]
