"""Work across the ranks of a launch: agreeing, and what only the main process does."""
