"""What a run is made of: its job, evaluations, forecast and display."""
