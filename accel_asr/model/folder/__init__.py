"""Examine a model folder before it is used: what it is, what does not fit what, how to mend it. Imports no torch."""
