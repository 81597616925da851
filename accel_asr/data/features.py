"""Log-mel features, computed when a batch is made: stored features take four times the room of the audio."""

import numpy as np
from transformers import WhisperFeatureExtractor

from accel_asr.data.decoding.audio import to_float32


def log_mel(samples: np.ndarray, feature_extractor: WhisperFeatureExtractor) -> np.ndarray:
    """Whisper's log-mel spectrogram of one clip, padded with silence to the model's window.

    Args:
        samples: int16 at the extractor's sampling rate, shape (samples,), no longer than the window.
        feature_extractor: The model's own.

    Returns:
        float32, shape (mel bins, frames of the window): (80, 3000) for whisper-tiny.
    """
    features = feature_extractor(
        to_float32(samples), sampling_rate=feature_extractor.sampling_rate, return_tensors="np"
    ).input_features
    return features[0]
