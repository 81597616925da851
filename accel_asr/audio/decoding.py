"""Decode any file that soundfile, or PyAV where it is installed, reads: mono, at one sampling rate, all or a part."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from accel_asr.audio.byte_ranges import ByteRange
from accel_asr.audio.pyav_decoding import PYAV_KINDS, PyAVError, has_pyav, probe_with_pyav, pyav_kind, read_with_pyav
from accel_asr.audio.sample_scale import INT16_SCALE
from accel_asr.audio.soundfile_decoding import (
    END_TOLERANCE_S,
    MISSING_TOLERANCE_S,
    SOUNDFILE_ERRORS,
    AudioError,
    SequentialFile,
    check_header,
    missing_at_end_s,
    mono_blocks,
    open_soundfile,
    place_of_segment,
    read_mono,
    segment_within,
    told,
    torn,
)
from accel_asr.audio.torn_files import find_ending
from accel_asr.audio.torn_streams import Ending
from accel_asr.files.regular_files import NO_REGULAR_FILE, is_no_regular_file


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The length of the recording, or of the segment that was asked for, as its header says or else as it decodes.

    `missing_s`: its end is so much before the one that its header promises, too little to refuse it for.
    """

    duration_s: float
    sampling_rate_hz: int
    channels: int
    missing_s: float = 0.0


def decode(
    source: bytes | Path | ByteRange,
    *,
    sampling_rate_hz: int | None,
    channel: int | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> np.ndarray:
    """Decode a recording, or the segment of it from `start_s` to `end_s`.

    Args:
        source: The encoded file's bytes, its path, or where it lies in a larger file.
        sampling_rate_hz: Rate of the result; other rates are resampled by soxr at high quality (librosa's `soxr_hq`).
            None is the file's own; `decode_native` tells which.
        channel: The channel to take, counted from 0; None averages all.
        start_s: Where the segment begins; None is the beginning.
        end_s: Where it ends; None is the end.

    Returns:
        float32 samples in [-1, 1] (a little more from lossy and float files), shape (samples,).

    Raises:
        AudioError: missing, unreadable, torn, empty, without that channel or segment, or with samples that are not
            numbers or far above full scale.
    """
    mono, file_rate_hz = decode_native(source, channel=channel, start_s=start_s, end_s=end_s)
    return mono if sampling_rate_hz is None else resampled(mono, file_rate_hz, sampling_rate_hz)


def resampled(mono: np.ndarray, rate_hz: int, wanted_rate_hz: int) -> np.ndarray:
    """The samples at another rate, by soxr at high quality (librosa's `soxr_hq`).

    Raises:
        AudioError: a sample or two at a high rate leave nothing.
    """
    if rate_hz != wanted_rate_hz:
        mono = soxr.resample(mono, rate_hz, wanted_rate_hz, quality="HQ")
    if len(mono) == 0:
        raise AudioError("it holds no samples")
    return mono


def decode_native(
    source: bytes | Path | ByteRange,
    *,
    channel: int | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> tuple[np.ndarray, int]:
    """As `decode`, at the file's own rate.

    Returns:
        float32 samples, shape (samples,), and their rate in Hz.

    Raises:
        AudioError: as `decode`.
    """
    content, ending = _looked_at(source)
    try:
        file = open_soundfile(ending.mended or content)
    except SOUNDFILE_ERRORS as error:
        _require_pyav(content, error)
        try:
            read_to_s = None if end_s is None else end_s + END_TOLERANCE_S
            mono, rate_hz = read_with_pyav(content, channel=channel, end_s=read_to_s)
        except PyAVError as pyav_error:
            raise AudioError(f"{told(error)}, nor can PyAV ({pyav_error})") from pyav_error
        first, stop = segment_within(start_s, end_s, frames=len(mono), rate_hz=rate_hz)
        mono = mono[first:stop]
    else:
        with file:
            check_header(rate_hz=file.samplerate, channels=file.channels, channel=channel, file_format=file.format)
            rate_hz = file.samplerate
            if ending.is_guess:  # so that the segment's place is known only from what has been read
                mono = read_mono(
                    file, frames=None if end_s is None else round(min(end_s + 1, 1e9) * rate_hz), channel=channel
                )
                first, stop = segment_within(start_s, end_s, frames=len(mono), rate_hz=rate_hz)
                mono = mono[first:stop]
            else:
                first, stop = place_of_segment(file, ending, start_s=start_s, end_s=end_s)
                mono = read_mono(file, first=first, frames=stop - first, channel=channel)
                _refuse_torn(file, stop=stop, missing=stop - first - len(mono))
    if len(mono) == 0:
        raise AudioError("it holds no samples")
    return mono, rate_hz


def probe(
    source: bytes | Path | ByteRange,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    channel: int | None = None,
) -> AudioInfo:
    """How long a recording, or a segment of it, is. Decodes where no header tells (MP3 without a table, a torn FLAC).

    Threads may call it at the same time.

    Raises:
        AudioError: as `decode`, as far as a header can tell.
    """
    content, ending = _looked_at(source)
    try:
        file = open_soundfile(ending.mended or content)
    except SOUNDFILE_ERRORS as error:
        _require_pyav(content, error)
        try:
            length_s, rate_hz, channels = probe_with_pyav(content)
        except PyAVError as pyav_error:
            raise AudioError(f"{told(error)}, nor can PyAV ({pyav_error})") from pyav_error
        check_header(rate_hz=rate_hz, channels=channels, channel=channel)
        is_certain, missing_s = length_s > 0, 0.0
        if is_certain:
            first, stop = segment_within(start_s, end_s, frames=round(length_s * rate_hz), rate_hz=rate_hz)
    else:
        with file:
            rate_hz, channels = file.samplerate, file.channels
            check_header(rate_hz=rate_hz, channels=channels, channel=channel, file_format=file.format)
            is_certain = ending.is_certain
            if is_certain:
                first, stop = place_of_segment(file, ending, start_s=start_s, end_s=end_s)
                missing_s = 0.0 if end_s is not None else missing_at_end_s(file, ending)
    if not is_certain:
        first = 0
        stop, rate_hz, missing_s = _counted(content, ending, channel=channel, start_s=start_s, end_s=end_s)
    if stop == first:
        raise AudioError("it holds no samples")
    return AudioInfo((stop - first) / rate_hz, rate_hz, channels, missing_s)


def _counted(
    content: bytes | Path, ending: Ending, *, channel: int | None, start_s: float | None, end_s: float | None
) -> tuple[int, int, float]:
    """(frames, rate in Hz, seconds missing at its end) of what only decoding can tell, without keeping its samples."""
    if start_s is not None or end_s is not None or not _is_for_soundfile(content, ending):
        mono, rate_hz = decode_native(content, channel=channel, start_s=start_s, end_s=end_s)
        return len(mono), rate_hz, 0.0
    with open_soundfile(ending.mended or content) as file:
        promised = None if ending.is_guess else place_of_segment(file, ending, start_s=None, end_s=None)[1]
        frames = sum(len(block) for block in mono_blocks(file, frames=promised, channel=channel))
        missing = 0 if promised is None else promised - frames
        _refuse_torn(file, stop=frames + missing, missing=missing)
        return frames, file.samplerate, missing / file.samplerate


def _is_for_soundfile(content: bytes | Path, ending: Ending) -> bool:
    try:
        open_soundfile(ending.mended or content).close()
    except SOUNDFILE_ERRORS:
        return False
    return True


def _refuse_torn(file: SequentialFile, *, stop: int, missing: int) -> None:
    """Refuse what ends too long before the frame `stop` that was to be reached."""
    if missing > (END_TOLERANCE_S if file.format == "MP3" else MISSING_TOLERANCE_S) * file.samplerate:
        raise AudioError(torn((stop - missing) / file.samplerate, file.frames / file.samplerate))


# -- opening


def _looked_at(source: bytes | Path | ByteRange) -> tuple[bytes | Path, Ending]:
    """The encoded file, and how far it goes."""
    path = source if isinstance(source, Path) else source.path if isinstance(source, ByteRange) else None
    try:
        if path is not None and is_no_regular_file(path):
            raise AudioError(NO_REGULAR_FILE)
        if path is not None and not path.is_file():
            raise AudioError("the file does not exist")
        if isinstance(source, ByteRange):
            if source.offset + source.size > source.path.stat().st_size:
                raise AudioError("the file that holds it ends before it does")
            source = source.read()
        ending = find_ending(source)
    except OSError as error:  # a name too long, a folder or file that may not be read
        raise AudioError(f"the file can't be reached ({error.strerror})") from error
    if ending.fault is not None:
        raise AudioError(ending.fault)
    return source, ending


def _require_pyav(content: bytes | Path, error: BaseException) -> None:
    """Refuse what soundfile refused, but for the kinds that PyAV is for: FFmpeg guesses at what is broken."""
    kind = pyav_kind(content)
    if kind is None:
        raise AudioError(told(error)) from error
    if not has_pyav():
        raise AudioError(f"it is {kind}; {', '.join(PYAV_KINDS)} need PyAV: pip install 'accel-asr[audio]'") from error


def to_int16(samples: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1] to int16, clipped: a quarter of the memory of float64, and what most recordings were."""
    return np.clip(np.round(samples * INT16_SCALE), -INT16_SCALE, INT16_SCALE - 1).astype(np.int16)


def to_float32(samples: np.ndarray) -> np.ndarray:
    """int16 back to float32 in [-1, 1)."""
    return samples.astype(np.float32) / INT16_SCALE
