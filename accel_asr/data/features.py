"""Log-mel features, computed when a batch is made: stored features take four times the room of the audio."""

import numpy as np
import scipy.fft
import torch
from transformers import WhisperFeatureExtractor

from accel_asr.data.decoding.audio import to_float32

POWER_FLOOR = 1e-10  # what digital silence counts as
SILENT_LOG_POWER = -10.0  # its logarithm
DYNAMIC_RANGE = 8.0  # decades below the loudest of a clip, at which its features are cut
# Log-mel that nothing silent reaches: a sine of -62 dBFS has it, and so has white noise of -57 dBFS
SILENT_FEATURE = 0.0


def log_mel(samples: np.ndarray, feature_extractor: WhisperFeatureExtractor) -> np.ndarray:
    """Whisper's log-mel spectrogram of one clip, padded with silence to the model's window.

    What `feature_extractor` gives, but only the frames that hold sound are computed: those of the padding are one
    constant. Both work in float32 and round differently, by up to 4e-5 in a pure tone and 2e-5 in speech; this is the
    nearer to the formula in float64 (`tests/unit/data/test_features.py`).

    Args:
        samples: int16 at the extractor's sampling rate, shape (samples,), no longer than the window.
        feature_extractor: The model's own.

    Returns:
        float32, shape (mel bins, frames of the window): (80, 3000) for whisper-tiny.
    """
    frames_of_window = feature_extractor.nb_max_frames
    framed = _frames_with_sound(samples, feature_extractor)  # (frames, samples of a frame)
    window = np.hanning(feature_extractor.n_fft + 1)[:-1].astype(np.float32)
    spectrum = scipy.fft.rfft(framed * window, axis=1)
    power = spectrum.real**2
    power += spectrum.imag**2
    mel = feature_extractor.mel_filters.T.astype(np.float32) @ power.T  # (mel bins, frames)
    np.log10(np.maximum(mel, POWER_FLOOR, out=mel), out=mel)
    loudest = float(mel.max())
    if len(framed) < frames_of_window:
        loudest = max(loudest, SILENT_LOG_POWER)
    features = np.full((len(mel), frames_of_window), SILENT_LOG_POWER, dtype=np.float32)
    features[:, : len(framed)] = mel
    np.maximum(features, loudest - DYNAMIC_RANGE, out=features)
    features += 4
    features /= 4
    return features


def is_silent(features: torch.Tensor) -> torch.Tensor:
    """Whether nothing can be heard in a clip: no mel band ever reaches SILENT_FEATURE.

    Args:
        features: log-mel, (batch, mel bins, frames).

    Returns:
        bool, (batch,).
    """
    return features.amax(dim=(1, 2)) < SILENT_FEATURE


def _frames_with_sound(samples: np.ndarray, feature_extractor: WhisperFeatureExtractor) -> np.ndarray:
    """The frames that any sample reaches into, float32, shape (frames, n_fft): a view of one array.

    Frames are centred on every `hop_length`-th sample; half of the first one is the signal's beginning in reverse, and
    half of the last one its end, if that is not padding.
    """
    size, hop, longest = feature_extractor.n_fft, feature_extractor.hop_length, feature_extractor.n_samples
    half = size // 2
    frames = min(-(-(len(samples) + half) // hop), feature_extractor.nb_max_frames)
    needed = (frames - 1) * hop + size
    signal = np.zeros(max(min(needed - half, longest), half + 1), dtype=np.float32)
    signal[: len(samples)] = to_float32(samples)
    beyond = max(needed - half - len(signal), 0)
    padded = np.pad(signal, (half, beyond), mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:frames]
