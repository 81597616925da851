"""Runs side by side: scores, settings that differ, differences beyond chance, seeds of one recipe."""
