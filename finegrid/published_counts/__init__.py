"""Published parameter counts, checked row by row without a download and without a weight."""
