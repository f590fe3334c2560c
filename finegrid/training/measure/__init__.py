"""What a run is measured by: memory, inference, summaries of its steps."""
