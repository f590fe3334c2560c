"""Kinds of task, one file each: what goes into a model, and what comes out. They load no torch."""
