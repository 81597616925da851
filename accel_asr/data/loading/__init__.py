"""From utterances to batches: workers, prefetching, collating."""
