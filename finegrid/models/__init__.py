"""Models: their anatomy, their layers by role, how they are loaded and drawn."""
