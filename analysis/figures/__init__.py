"""The figures: one module a kind, on the drawing that they share."""
