"""Claims of a benchmark as hypotheses: one value a seed, its interval, a verdict, a page."""
