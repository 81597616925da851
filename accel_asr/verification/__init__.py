"""One process with one batch against the launched topology: gradients, updates, learning rates, transcripts.

Every rank computes what one process would, redundantly and without waiting for the others, on a copy of the model that
Accelerate has never seen; then all train and evaluate together with the trainer's own code, and each rank compares.
"""
