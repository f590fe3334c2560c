"""What a user takes home: a run's trained model as a folder that other libraries load."""
