"""One process with one batch against the launched topology: gradients, updates, learning rates, transcripts.

Every rank computes the single-process side for itself, on a copy of the model that Accelerate has never seen. Then all
ranks train and evaluate together with the trainer's own code, and each compares.
"""
