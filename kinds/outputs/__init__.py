"""What comes out of a model: its targets, its loss, its predictions."""
