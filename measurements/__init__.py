"""What finegrid itself takes of time and memory. No test: these are measurements."""
