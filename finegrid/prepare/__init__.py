"""From sources to prepared tasks and models."""
