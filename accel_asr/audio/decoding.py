"""Decode any file that soundfile, or PyAV where installed, can read: mono, at one sampling rate, in full or in part."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from accel_asr.audio import INT16_SCALE
from accel_asr.audio.pyav_decoding import PYAV_KINDS, PyAVError, has_pyav, probe_with_pyav, pyav_kind, read_with_pyav
from accel_asr.audio.soundfile_decoding import (
    END_TOLERANCE_S,
    MISSING_TOLERANCE_S,
    SOUNDFILE_ERRORS,
    AudioError,
    SequentialFile,
    check_header,
    ends_early,
    has_last_frame,
    missing_at_end_s,
    mono_blocks,
    open_recording,
    place_of_segment,
    read_mono,
    segment_within,
    soundfile_reason,
)
from accel_asr.audio.torn_files import find_ending
from accel_asr.audio.torn_streams import Ending
from accel_asr.files.regular_files import NO_REGULAR_FILE, is_no_regular_file


@dataclass(frozen=True, slots=True)
class ByteRange:
    """An encoded recording inside of a larger file, such as a tar: `size` bytes from `offset` on."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The encoded recording; shorter if the file has been cut since.

        Raises:
            OSError: the file can't be read.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The length of a recording, or of the segment that was asked for, by its header or else by decoding it.

    `missing_s`: how long before its promised end it ends, too little to refuse it for.
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
        source: The encoded file's bytes, its path, or its place in a larger file.
        sampling_rate_hz: Rate of the result; other rates are resampled by soxr at high quality (librosa's `soxr_hq`).
            None keeps the file's own, which `decode_native` returns.
        channel: The channel to take, counted from 0; None averages all.
        start_s: Where the segment begins; None is the beginning.
        end_s: Where it ends; None is the end.

    Returns:
        float32 samples in [-1, 1] (a little more from lossy and float files), shape (samples,).

    Raises:
        AudioError: missing, unreadable, torn, empty, without that channel or segment, or with samples that are not
            finite numbers or far above full scale.
    """
    return _decoded(source, sampling_rate_hz, channel=channel, start_s=start_s, end_s=end_s)[0]


def resampled(mono: np.ndarray, rate_hz: int, wanted_rate_hz: int) -> np.ndarray:
    """The samples at another rate, by soxr at high quality (librosa's `soxr_hq`).

    Raises:
        AudioError: no sample is left of one or two at a high rate.
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
    return _decoded(source, None, channel=channel, start_s=start_s, end_s=end_s)


def _decoded(
    source: bytes | Path | ByteRange,
    wanted_rate_hz: int | None,
    *,
    channel: int | None,
    start_s: float | None,
    end_s: float | None,
) -> tuple[np.ndarray, int]:
    """The samples and their rate: the wanted one, or the file's own for None."""
    content, ending = _inspected(source)
    is_cut_out = False  # whether `mono` is the segment already
    try:
        file = open_recording(content, ending)
    except SOUNDFILE_ERRORS as error:
        with _pyav_instead(content, error):
            read_to_s = None if end_s is None else end_s + END_TOLERANCE_S
            mono, rate_hz = read_with_pyav(content, channel=channel, end_s=read_to_s)
    else:
        with file:
            rate_hz = file.samplerate
            check_header(rate_hz=rate_hz, channels=file.channels, channel=channel, file_format=file.format)
            if file.knows_its_length:
                is_cut_out = True
                first, stop = place_of_segment(file, ending, start_s=start_s, end_s=end_s)
                blocks = mono_blocks(file, first=first, frames=stop - first, channel=channel)
                mono, frames = _gathered(blocks, rate_hz, wanted_rate_hz or rate_hz)
                _refuse_torn(file, stop=stop, missing=stop - first - frames)
                rate_hz = wanted_rate_hz or rate_hz
            else:
                most = None if end_s is None else round(min(end_s + 1, 1e9) * rate_hz)
                mono = read_mono(file, frames=most, channel=channel)
    if not is_cut_out:
        first, stop = segment_within(start_s, end_s, frames=len(mono), rate_hz=rate_hz)
        mono = mono[first:stop]
    wanted_rate_hz = wanted_rate_hz or rate_hz
    return resampled(mono, rate_hz, wanted_rate_hz), wanted_rate_hz


def _gathered(blocks: Iterator[np.ndarray], rate_hz: int, wanted_rate_hz: int) -> tuple[np.ndarray, int]:
    """Blocks as one array at another rate, and how many frames they had: of an hour, no more is in memory than that.

    A stream of soxr gives the samples that `resampled` gives, to the bit.
    """
    stream = None
    if rate_hz != wanted_rate_hz:
        stream = soxr.ResampleStream(rate_hz, wanted_rate_hz, 1, dtype="float32", quality="HQ")
    gathered, frames = bytearray(), 0  # grows in place
    for block in blocks:
        frames += len(block)
        gathered += (block if stream is None else stream.resample_chunk(block)).tobytes()
    if stream is not None and frames:
        gathered += stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True).tobytes()
    return np.frombuffer(gathered, dtype=np.float32), frames


def probe(
    source: bytes | Path | ByteRange,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    channel: int | None = None,
) -> AudioInfo:
    """How long a recording, or a segment of it, is. Decodes only if no header says (an MP3 without table, a torn FLAC).

    Threads may call it at the same time.

    Raises:
        AudioError: as `decode`, as far as a header shows.
    """
    content, ending = _inspected(source)
    frames: int | None = None
    missing_s = 0.0
    try:
        file = open_recording(content, ending)
    except SOUNDFILE_ERRORS as error:
        with _pyav_instead(content, error):
            length_s, rate_hz, channels = probe_with_pyav(content)
        check_header(rate_hz=rate_hz, channels=channels, channel=channel)
        if length_s > 0:
            first, stop = segment_within(start_s, end_s, frames=round(length_s * rate_hz), rate_hz=rate_hz)
            frames = stop - first
    else:
        with file:
            rate_hz, channels = file.samplerate, file.channels
            check_header(rate_hz=rate_hz, channels=channels, channel=channel, file_format=file.format)
            if (ending.is_certain and file.knows_its_length) or has_last_frame(file):
                first, stop = place_of_segment(file, ending, start_s=start_s, end_s=end_s)
                frames = stop - first
                missing_s = 0.0 if end_s is not None else missing_at_end_s(file, ending)
        if frames is None and start_s is None and end_s is None:
            frames, missing_s = _counted(content, ending, channel=channel)
    if frames is None:
        mono, rate_hz = decode_native(content, channel=channel, start_s=start_s, end_s=end_s)
        frames = len(mono)
    if frames == 0:
        raise AudioError("it holds no samples")
    return AudioInfo(frames / rate_hz, rate_hz, channels, missing_s)


def _counted(content: bytes | Path, ending: Ending, *, channel: int | None) -> tuple[int, float]:
    """Frames of a recording, and seconds missing at its end, by decoding it without keeping the samples."""
    with open_recording(content, ending) as file:
        promised = None
        if file.knows_its_length:
            _, promised = place_of_segment(file, ending, start_s=None, end_s=None)
        frames = sum(len(block) for block in mono_blocks(file, frames=promised, channel=channel))
        missing = 0 if promised is None else promised - frames
        _refuse_torn(file, stop=frames + missing, missing=missing)
        return frames, missing / file.samplerate


def _refuse_torn(file: SequentialFile, *, stop: int, missing: int) -> None:
    """Refuse a file that ends too long before the frame `stop`."""
    if missing > (END_TOLERANCE_S if file.format == "MP3" else MISSING_TOLERANCE_S) * file.samplerate:
        raise AudioError(ends_early((stop - missing) / file.samplerate, file.frames / file.samplerate))


def _inspected(source: bytes | Path | ByteRange) -> tuple[bytes | Path, Ending]:
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


@contextmanager
def _pyav_instead(content: bytes | Path, error: BaseException) -> Iterator[None]:
    """Read with PyAV what soundfile refused with `error`.

    Raises:
        AudioError: PyAV is not installed or fails too; or the file is of another kind, at which FFmpeg would guess.
    """
    kind = pyav_kind(content)
    if kind is None:
        raise AudioError(soundfile_reason(error)) from error
    if not has_pyav():
        raise AudioError(f"it is {kind}; {', '.join(PYAV_KINDS)} need PyAV: pip install 'accel-asr[audio]'") from error
    try:
        yield
    except PyAVError as pyav_error:
        raise AudioError(f"{soundfile_reason(error)}, nor can PyAV ({pyav_error})") from pyav_error


def to_int16(samples: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1] to int16, clipped: half the memory, and what most recordings were."""
    return np.clip(np.round(samples * INT16_SCALE), -INT16_SCALE, INT16_SCALE - 1).astype(np.int16)


def to_float32(samples: np.ndarray) -> np.ndarray:
    """int16 back to float32 in [-1, 1)."""
    return samples.astype(np.float32) / INT16_SCALE
