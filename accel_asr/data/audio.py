"""Decode any file that soundfile, or PyAV where it is installed, reads: mono, at one sampling rate, all or a part."""

import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

from accel_asr.data.pyav_decoding import MISSING_TOLERANCE_S, PYAV_KINDS, PyAVError, has_pyav, pyav_kind, read_with_pyav

INT16_SCALE = 32768  # one more than the largest int16: soundfile's own convention for float <-> int16
END_TOLERANCE_S = 0.1  # manifests round: a segment may end so much after its recording


class AudioError(Exception):
    """A recording that can't be used; the message says why, in a few words, without the file's name."""


def decode(
    source: bytes | Path,
    *,
    sampling_rate_hz: int,
    channel: int | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> np.ndarray:
    """Decode a recording, or the segment of it from `start_s` to `end_s`.

    Args:
        source: The encoded file's bytes, or its path.
        sampling_rate_hz: Rate of the result; other rates are resampled by soxr at high quality (librosa's `soxr_hq`).
        channel: The channel to take, counted from 0; None averages all.
        start_s: Where the segment begins; None is the beginning.
        end_s: Where it ends; None is the end.

    Returns:
        float32 samples in [-1, 1], shape (samples,).

    Raises:
        AudioError: missing, unreadable, empty, without that channel or segment, or with samples that are not numbers.
    """
    try:
        if isinstance(source, Path) and not source.is_file():
            raise AudioError("the file does not exist")
    except OSError as error:  # a name too long, a folder that may not be read
        raise AudioError(f"the file can't be reached ({error.strerror})") from error
    try:
        samples, file_rate_hz = _read_with_soundfile(source, start_s=start_s, end_s=end_s)
    except soundfile.LibsndfileError as error:
        samples, file_rate_hz = _read_otherwise(source, error.error_string, start_s=start_s, end_s=end_s)
    except (soundfile.SoundFileError, OSError, ValueError, TypeError, MemoryError) as error:
        samples, file_rate_hz = _read_otherwise(source, str(error), start_s=start_s, end_s=end_s)
    channels = samples.shape[1]
    if channel is not None:
        if channel >= channels:
            raise AudioError(f"it has {channels} channel{'s' * (channels > 1)}, and none of number {channel} (from 0)")
        samples = samples[:, channel : channel + 1]
    if not np.isfinite(samples).all():
        raise AudioError("it holds samples that are not finite numbers")
    mono = samples.mean(axis=1, dtype=np.float32)
    if file_rate_hz != sampling_rate_hz:
        mono = soxr.resample(mono, file_rate_hz, sampling_rate_hz, quality="HQ")
    if len(mono) == 0:  # after resampling: a sample or two at a high rate leave nothing
        raise AudioError("it holds no samples")
    return mono


def _read_with_soundfile(
    source: bytes | Path, *, start_s: float | None, end_s: float | None
) -> tuple[np.ndarray, int]:  # (samples, channels), Hz
    with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as file:
        first, stop = _segment(start_s, end_s, frames=file.frames, rate_hz=file.samplerate)
        if first:
            file.seek(first)
        samples = file.read(stop - first, dtype="float32", always_2d=True)
        missing = stop - first - len(samples)  # the headers of some MP3s promise a little more than there is
        if missing > MISSING_TOLERANCE_S * file.samplerate:
            ends_s, promised_s = (stop - missing) / file.samplerate, file.frames / file.samplerate
            raise AudioError(f"it ends at {ends_s:.2f} s, where its header says {promised_s:.2f} s")
        return samples, file.samplerate


def _read_otherwise(
    source: bytes | Path, reason: str, *, start_s: float | None, end_s: float | None
) -> tuple[np.ndarray, int]:
    """Read what soundfile refused, if it is of a kind that PyAV is for; no other: FFmpeg guesses at what is broken."""
    told = f"soundfile can't read it ({reason})"
    kind = pyav_kind(source)
    if kind is None:
        raise AudioError(told)
    if not has_pyav():
        raise AudioError(f"it is {kind}; {', '.join(PYAV_KINDS)} need PyAV: pip install 'accel-asr[audio]'")
    try:
        samples, rate_hz = read_with_pyav(source, end_s=None if end_s is None else end_s + END_TOLERANCE_S)
    except PyAVError as error:
        raise AudioError(f"{told}, nor can PyAV ({error})") from error
    first, stop = _segment(start_s, end_s, frames=len(samples), rate_hz=rate_hz)
    return samples[first:stop], rate_hz


def _segment(start_s: float | None, end_s: float | None, *, frames: int, rate_hz: int) -> tuple[int, int]:
    """The segment's first frame and the one after its last.

    Raises:
        AudioError: it is not within the recording.
    """
    first = round((start_s or 0) * rate_hz)
    stop = frames if end_s is None else round(end_s * rate_hz)
    if first and first >= frames:
        raise AudioError(f"the segment starts at {start_s:.2f} s, but the recording ends at {frames / rate_hz:.2f} s")
    if stop > frames + END_TOLERANCE_S * rate_hz:
        raise AudioError(f"the segment ends at {end_s:.2f} s, but the recording at {frames / rate_hz:.2f} s")
    return first, max(first, min(stop, frames))


def to_int16(samples: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1] to int16, clipped: a quarter of the memory of float64, and what most recordings were."""
    return np.clip(np.round(samples * INT16_SCALE), -INT16_SCALE, INT16_SCALE - 1).astype(np.int16)


def to_float32(samples: np.ndarray) -> np.ndarray:
    """int16 back to float32 in [-1, 1)."""
    return samples.astype(np.float32) / INT16_SCALE
