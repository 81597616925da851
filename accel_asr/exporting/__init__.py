"""A model for another runtime, and the proof that it transcribes there as it does here."""
