"""What a benchmark file may say."""
