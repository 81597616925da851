"""Samples, decoding, damaged files and the log-mel spectrogram. Knows nothing of data sets."""
