"""Recordings that soundfile can't read and PyAV can: an optional extra, with its own FFmpeg."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from accel_asr.audio.soundfile_decoding import MOST_S, check_header, to_mono

PYAV_KINDS = ("m4a", "aac", "webm", "mp4")
MISSING_TOLERANCE_S = 0.5  # less may be where a film's pictures end
_HEAD_BYTES = 12
_FFMPEG_FORMATS = {"m4a": "mp4", "aac": "aac", "webm": "matroska", "mp4": "mp4"}
_CONTAINER_CLOCK_HZ = 1_000_000  # FFmpeg's AV_TIME_BASE


class PyAVError(Exception):
    """Why PyAV can't read a recording, in a few words, without the file's name."""


def has_pyav() -> bool:
    """Whether the extra is installed."""
    return find_spec("av") is not None


def pyav_kind(source: bytes | Path) -> str | None:
    """Which of `PYAV_KINDS` a file is, by its first bytes, not by its name; None if it is none of them."""
    if isinstance(source, bytes):
        head = source[:_HEAD_BYTES]
    else:
        try:
            with source.open("rb") as file:
                head = file.read(_HEAD_BYTES)
        except OSError:
            return None
    if head[4:8] == b"ftyp":  # ISO base media
        return "m4a" if head[8:11] == b"M4A" else "mp4"
    if head[:4] == b"\x1aE\xdf\xa3":  # EBML: Matroska and WebM
        return "webm"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:  # ADTS: twelve ones, layer 0
        return "aac"
    return None


class _Length:
    """How long a stream's sound is, by its packets: without an encoder's lead-in, or the padding of its last frame."""

    def __init__(self) -> None:
        self._sum_s = 0.0
        self._first_s: float | None = None
        self._is_known = True

    def add(self, packet: Any) -> None:
        if not packet.size:  # it marks the end of the stream
            return
        clock = packet.time_base or 0
        if self._first_s is None:
            self._first_s = float((packet.pts or 0) * clock)
        self._sum_s += float((packet.duration or 0) * clock)
        self._is_known = self._is_known and bool(packet.duration and clock)

    @property
    def duration_s(self) -> float | None:
        """None if some packet does not state its own."""
        return max(self._sum_s + min(self._first_s or 0.0, 0.0), 0.0) if self._is_known and self._sum_s else None


def read_with_pyav(
    source: bytes | Path, *, channel: int | None = None, end_s: float | None = None
) -> tuple[np.ndarray, int]:
    """Decode the first audio stream, and no further than `end_s`.

    Args:
        channel: As for `decode`.

    Returns:
        float32 samples, mono, shape (samples,), and their rate in Hz.

    Raises:
        PyAVError: it has no audio, or can't be decoded to its end.
        AudioError: its header or samples can't be a recording's, or it has no such channel.
    """
    import av

    with _first_audio_stream(source) as (container, stream):
        rate_hz = stream.codec_context.sample_rate
        # interleaved float32: with more than seven planes, PyAV reads past the last one, and the interpreter crashes
        to_float = av.AudioResampler(format="flt", rate=rate_hz)
        pieces: list[np.ndarray] = []  # mono at once: eight channels of an hour are 5.5 GB
        frames = 0
        length = _Length()
        for packet in container.demux(stream):
            length.add(packet)
            for converted in (part for frame in packet.decode() for part in to_float.resample(frame)):
                samples = converted.to_ndarray().reshape(converted.samples, -1)
                if not pieces:
                    check_header(rate_hz=rate_hz, channels=samples.shape[1], channel=channel)
                pieces.append(to_mono(samples, channel))
                frames += len(samples)
            if end_s is not None and frames >= end_s * rate_hz:
                break
            if frames > MOST_S * rate_hz and not _promised_s(container):
                raise PyAVError(f"it does not say how long it is, and is longer than {MOST_S / 3600:g} hours")
        else:
            _refuse_shorter(container, frames / rate_hz)
            if pieces and length.duration_s is not None:
                padding = frames - round(length.duration_s * rate_hz)
                pieces[-1] = pieces[-1][: len(pieces[-1]) - min(max(padding, 0), len(pieces[-1]) - 1)]
        if not pieces:
            raise PyAVError("it holds no samples")
        return np.concatenate(pieces), rate_hz


def probe_with_pyav(source: bytes | Path) -> tuple[float, int, int]:
    """Duration in seconds, rate in Hz and channels of the first audio stream. Packets are read, not decoded.

    The duration is 0 if packets do not state theirs.

    Raises:
        PyAVError: as `read_with_pyav`, as far as packets show.
    """
    with _first_audio_stream(source) as (container, stream):
        length = _Length()
        for packet in container.demux(stream):
            length.add(packet)
        if length.duration_s is not None:
            _refuse_shorter(container, length.duration_s)
        return length.duration_s or 0.0, stream.codec_context.sample_rate, stream.codec_context.channels


@contextmanager
def _first_audio_stream(source: bytes | Path) -> Iterator[tuple[Any, Any]]:
    import av

    # given, so that FFmpeg takes nothing for another format, such as a playlist of other files
    container_format = _FFMPEG_FORMATS[pyav_kind(source) or "mp4"]
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else str(source.absolute())
        # PyAV 18 and older refuse titles that are not UTF-8, which are no reason to refuse the sound; 19 never does
        options = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
        with av.open(file, format=container_format, **options) as container:
            if not container.streams.audio:
                raise PyAVError("it has no audio stream")
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise PyAVError("FFmpeg has no decoder for its audio stream")
            if not stream.codec_context.sample_rate:
                raise PyAVError("its audio stream has no sampling rate")
            yield container, stream
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise PyAVError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from error


def _refuse_shorter(container: Any, duration_s: float) -> None:
    """Refuse a file that ends before the length in its header."""
    promised_s = _promised_s(container)
    if duration_s < promised_s - MISSING_TOLERANCE_S:
        raise PyAVError(f"it ends at {duration_s:.2f} s, where its header says {promised_s:.2f} s")


def _promised_s(container: Any) -> float:
    """How long a file says it is; 0 where FFmpeg can only guess, as for a bare AAC stream."""
    stream = container.streams.audio[0]
    if container.format.name == "aac":
        return 0.0
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / _CONTAINER_CLOCK_HZ
