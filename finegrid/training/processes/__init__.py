"""The processes of a run: devices, nodes, signals, exit codes."""
