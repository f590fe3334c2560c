"""Scores: a folder a metric, with its statistics of items and its module of `evaluate`."""
