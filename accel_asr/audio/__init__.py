"""Samples, decoding, damaged files and the log-mel spectrogram. Knows nothing of data sets."""

INT16_SCALE = 32_768  # int16 values in one unit of float samples: soundfile's own convention
