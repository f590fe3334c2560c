"""One file a family: what its layers are where their names do not say it."""
