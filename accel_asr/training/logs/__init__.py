"""metrics.jsonl, samples and experiment trackers."""
