"""Variants against one another: by pairs, in variance, on the Pareto front, across tasks."""
