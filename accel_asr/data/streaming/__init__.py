"""Sources that are read from end to end while training."""
