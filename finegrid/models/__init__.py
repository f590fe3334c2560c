"""Models: their shape, their layers by role, how they are loaded, and what their seeds draw."""
