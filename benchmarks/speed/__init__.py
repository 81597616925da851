"""This trainer beside two others on the same model, batches and labels: `python -m benchmarks.speed`."""
