"""Decode any file that soundfile reads to mono at one sampling rate."""

import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

INT16_SCALE = 32768  # one more than the largest int16: soundfile's own convention for float <-> int16


class AudioError(Exception):
    """A recording that can't be used; the message says why, in a few words, without the file's name."""


def decode(source: bytes | Path, *, sampling_rate_hz: int) -> np.ndarray:
    """Decode a whole recording.

    Args:
        source: The encoded file's bytes, or its path.
        sampling_rate_hz: Rate of the result; other rates are resampled by soxr at high quality (librosa's `soxr_hq`).

    Returns:
        float32 samples in [-1, 1], shape (samples,); channels are averaged.

    Raises:
        AudioError: missing, unreadable, empty, or holding samples that are not numbers.
    """
    if isinstance(source, Path) and not source.is_file():
        raise AudioError("the file does not exist")
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else str(source)
        samples, file_rate_hz = soundfile.read(file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"soundfile can't read it ({error.error_string})") from error
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
        raise AudioError(f"soundfile can't read it ({error})") from error
    if not np.isfinite(samples).all():
        raise AudioError("it holds samples that are not finite numbers")
    mono = samples.mean(axis=1, dtype=np.float32)
    if file_rate_hz != sampling_rate_hz:
        mono = soxr.resample(mono, file_rate_hz, sampling_rate_hz, quality="HQ")
    if len(mono) == 0:  # after resampling: a sample or two at a high rate leave nothing
        raise AudioError("it holds no samples")
    return mono


def to_int16(samples: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1] to int16, clipped: a quarter of the memory of float64, and what most recordings were."""
    return np.clip(np.round(samples * INT16_SCALE), -INT16_SCALE, INT16_SCALE - 1).astype(np.int16)


def to_float32(samples: np.ndarray) -> np.ndarray:
    """int16 back to float32 in [-1, 1)."""
    return samples.astype(np.float32) / INT16_SCALE
