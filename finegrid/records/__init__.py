"""What is written down: specification, plan, result, identity, and the one writer of files."""
