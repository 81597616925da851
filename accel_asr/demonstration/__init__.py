"""A page on this machine: record or choose a file, read what the model hears, beside what its base model hears."""
