"""The state of a run: what a checkpoint holds, and which state is kept."""
