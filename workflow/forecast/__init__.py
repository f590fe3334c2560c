"""`finegrid plan`: what a benchmark would run, and what that takes of memory and time."""
