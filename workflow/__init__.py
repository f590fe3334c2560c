"""The pipeline: from a benchmark file to a plan, and from a plan to jobs."""
