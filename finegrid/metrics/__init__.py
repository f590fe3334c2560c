"""Metrics: each a module of `evaluate`, read by its path."""
