"""Merged padding against the whole window, on real weights and real clips."""
