"""Which utterances train and validate: sources, filters, hold-out, overlap."""
