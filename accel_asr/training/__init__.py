"""One update, and what outlives it: step, schedule, checkpoints, run folder, tracking."""
