"""Settings: their types and defaults, the command line, and checks across them. Imports nothing heavy."""
