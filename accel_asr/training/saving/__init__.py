"""Checkpoints and the best model: what is saved, when, and how it is read back."""
