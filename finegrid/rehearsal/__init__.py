"""A benchmark rehearsed: every cell end to end, on tiny random models and a handful of rows."""
