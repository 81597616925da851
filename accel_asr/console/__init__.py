"""What is shown: the one layer that prints, progress bars, and text made safe to show."""
