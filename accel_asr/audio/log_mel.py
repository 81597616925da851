"""Log-mel features of one clip, on a CPU.

A clip of 10 s takes 2.5 ms of a core, and 12 ms with `WhisperFeatureExtractor`, which computes the padding too
(benchmarks/results/2026-11-24-speed.md).
"""

import threading
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
import torch
from transformers import WhisperFeatureExtractor

from accel_asr.audio import INT16_SCALE

SILENT_LOG_POWER = -10.0  # what digital silence counts as
DYNAMIC_RANGE = 8.0  # decades below a clip's loudest value, at which features are clamped
SILENT_FEATURE = 0.0  # nothing silent reaches it: a sine of -62 dBFS does, and white noise of -57 dBFS
BLOCK_FRAMES = 512  # computed at a time: with fewer, calls outweigh the computing; more fit less well into a CPU cache
BAND_MELS = 20  # filters multiplied together: each covers only a few frequencies


def log_mel(
    samples: np.ndarray, feature_extractor: WhisperFeatureExtractor, out: np.ndarray | None = None
) -> np.ndarray:
    """Whisper's log-mel spectrogram of one clip, padded with silence to the model's window.

    As `feature_extractor`, but only frames with sound are computed, since those of the padding are one constant. Both
    work in float32 and round differently, by up to 6e-5 in recordings of a single word and about 1e-5 in most; this one
    is nearer to the formula in float64 (`tests/unit/audio/test_log_mel.py`).

    Args:
        samples: int16 at the extractor's sampling rate, shape (samples,), no longer than the window.
        feature_extractor: The model's own.
        out: Where to write them, such as a row of a batch; None allocates.

    Returns:
        float32, shape (mel bins, frames of the window): (80, 3000) for whisper-tiny.
    """
    constants = _constants(feature_extractor)
    framed = _frames_with_sound(samples, feature_extractor)  # (frames, samples of a frame)
    frames, frame_samples = framed.shape
    features = np.empty(features_shape(feature_extractor), dtype=np.float32) if out is None else out
    sounding = torch.from_numpy(features)[:, :frames]
    windowed, power = _work_memory(threading.get_ident(), frame_samples)
    loudest = SILENT_LOG_POWER
    for first in range(0, frames, BLOCK_FRAMES):
        block = framed[first : first + BLOCK_FRAMES]
        count = len(block)
        torch.mul(block, constants.window, out=windowed[:count])
        # torch's is hardly faster and, with MKL, rounds worse than WhisperFeatureExtractor
        parts = scipy.fft.rfft(windowed[:count].numpy(), axis=1).view(np.float32)  # real, imaginary, real, ...
        np.square(parts, out=parts)
        np.add(parts[:, ::2], parts[:, 1::2], out=power[:count])
        for band in constants.bands:
            np.matmul(band.filters, power[:count, band.frequencies].T, out=features[band.mels, first : first + count])
        mels = sounding[:, first : first + count]
        mels.log10_()  # NumPy's takes five times as long; the -inf of zero is clamped below
        loudest = max(loudest, float(mels.max()))
    quietest = max(loudest - DYNAMIC_RANGE, SILENT_LOG_POWER)
    sounding.clamp_(min=quietest).mul_(0.25).add_(1)  # (x + 4) / 4, to the bit
    features[:, frames:] = 1 + quietest / 4
    return features


def features_shape(feature_extractor: WhisperFeatureExtractor) -> tuple[int, int]:
    """(mel bins, frames of the window)."""
    return feature_extractor.feature_size, feature_extractor.nb_max_frames


def is_silent(features: torch.Tensor) -> torch.Tensor:
    """Whether a clip is silent: no mel band ever reaches SILENT_FEATURE.

    Args:
        features: log-mel, (batch, mel bins, frames).

    Returns:
        bool, (batch,).
    """
    return features.amax(dim=(1, 2)) < SILENT_FEATURE


@dataclass(frozen=True)
class _Band:
    """Neighbouring mel filters, at the frequencies that any of them covers: (mel bins, frequencies)."""

    mels: slice
    frequencies: slice
    filters: np.ndarray


@dataclass(frozen=True)
class _Constants:
    """`window`, shape (samples of a frame,), also scales int16 to [-1, 1)."""

    window: torch.Tensor
    bands: tuple[_Band, ...]


@lru_cache(maxsize=8)
def _work_memory(thread: int, frame_samples: int) -> tuple[torch.Tensor, np.ndarray]:
    """A thread's buffers for one block: windowed frames, and their power. Allocating them for each clip is slower."""
    return (
        torch.empty(BLOCK_FRAMES, frame_samples),
        np.empty((BLOCK_FRAMES, frame_samples // 2 + 1), dtype=np.float32),
    )


@lru_cache(maxsize=8)
def _constants(feature_extractor: WhisperFeatureExtractor) -> _Constants:
    window = np.hanning(feature_extractor.n_fft + 1)[:-1].astype(np.float32) / INT16_SCALE
    filters = feature_extractor.mel_filters.T.astype(np.float32)
    bands = []
    for first in range(0, len(filters), BAND_MELS):
        some = filters[first : first + BAND_MELS]
        covered = np.flatnonzero(some.any(axis=0))
        frequencies = slice(int(covered[0]), int(covered[-1]) + 1)
        bands.append(_Band(slice(first, first + len(some)), frequencies, some[:, frequencies].copy()))
    return _Constants(torch.from_numpy(window), tuple(bands))


def _frames_with_sound(samples: np.ndarray, feature_extractor: WhisperFeatureExtractor) -> torch.Tensor:
    """The frames that any sample falls into, as float32 of int16's range, shape (frames, n_fft): a view of one array.

    Frames are centred on every `hop_length`-th sample; half of the first one mirrors the signal's beginning, and half
    of the last one its end, unless that is padding.
    """
    size, hop, longest = feature_extractor.n_fft, feature_extractor.hop_length, feature_extractor.n_samples
    half = size // 2
    frames = min(-(-(len(samples) + half) // hop), feature_extractor.nb_max_frames)
    needed = (frames - 1) * hop + size
    signal = np.empty(needed, dtype=np.float32)
    end = half + len(samples)
    signal[half:end] = samples
    signal[end:] = 0
    signal[:half] = signal[2 * half : half : -1]
    beyond = max(needed - half - longest, 0)
    if beyond:
        signal[-beyond:] = signal[-beyond - 2 : -2 * beyond - 2 : -1]
    return torch.from_numpy(signal).unfold(0, size, hop)
