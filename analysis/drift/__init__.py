"""Runs of then, made again now: what moved."""
