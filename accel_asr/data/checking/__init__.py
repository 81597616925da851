"""What `check-data` finds out before anything is trained."""
