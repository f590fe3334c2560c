"""Ways to fine-tune, one file each, behind one registry. Importing them loads no torch."""
