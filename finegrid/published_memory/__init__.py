"""Published peaks of memory, predicted row by row without a device and without a weight."""
