"""Models: their anatomy and shape, their layers by role, how they are loaded and drawn."""
