"""From a benchmark file to its plan, with every problem that it has."""
