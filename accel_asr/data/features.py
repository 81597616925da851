"""Log-mel features, computed when a batch is made: stored features take four times the room of the audio."""

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from accel_asr.data.decoding.audio import to_float32

# Log-mel that nothing silent reaches: a sine of -62 dBFS has it, and so has white noise of -57 dBFS
SILENT_FEATURE = 0.0


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


def is_silent(features: torch.Tensor) -> torch.Tensor:
    """Whether nothing can be heard in a clip: no mel band ever reaches SILENT_FEATURE.

    Args:
        features: log-mel, (batch, mel bins, frames).

    Returns:
        bool, (batch,).
    """
    return features.amax(dim=(1, 2)) < SILENT_FEATURE
