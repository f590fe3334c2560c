"""Data sets with their splits, one file each, behind one registry."""
