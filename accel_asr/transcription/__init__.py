"""From recordings of any length to text with times, and to the files that hold it."""
