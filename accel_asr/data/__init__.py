"""From a data source to batches."""
