"""Read with libsndfile, in blocks and to the very end: mono, all or a part, or a reason why not."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from accel_asr.audio.torn_streams import Ending

END_TOLERANCE_S = 0.1  # a segment may end so much after its recording, since manifests round; MP3s promise too much
MISSING_TOLERANCE_S = 0.05  # shorter than any word: writers lose a last buffer, or count their header as samples
MAX_LEVEL = 10  # 20 dB above full scale: integers written as floats, or damage
RATES_HZ = range(1_000, 768_001)  # others are damage, and would be resampled to gigabytes or to nothing
# libsndfile's formats whose end torn_files.py or the decoder checks
MOST_MISJUDGED = 0.95
_DELAYED = 4 * 1152  # samples of encoder and decoder, which the table counts too
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC", "OGG", "MP3")
SOUNDFILE_ERRORS = (soundfile.SoundFileError, OSError, ValueError, TypeError, MemoryError)
_BLOCK_VALUES = 1 << 22  # 16 MiB of float32: a header may promise more samples than there is memory
_UNKNOWN_FRAMES = 1 << 42  # no header can promise so many
_SMALL_BLOCK_FRAMES = 64  # 4 ms at 16 kHz, to find where a torn file ends
MOST_S = 24 * 3600.0  # of a recording without a length: a megabyte of silence may go on for days
_FOREVER_S = 1e9  # so that times multiplied by rates stay finite


class AudioError(Exception):
    """A recording that can't be used; the message says why, in a few words, without the file's name."""


class EndlessFile(io.RawIOBase):
    """Bytes that claim to go on: libsndfile guesses an MP3's length by its size, and reads no further than that."""

    CLAIMED_BYTES = 1 << 44

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content, self._position = content, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.CLAIMED_BYTES}
        self._position = start[whence] + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        # an ID3 tag is looked for before the claimed end: there has to be something
        part = self._content[self._position :][: len(view)] or bytes(len(view) * (self._position > _UNKNOWN_FRAMES))
        view[: len(part)] = part
        self._position += len(part)
        return len(part)


class SequentialFile(soundfile.SoundFile):
    """An encoded recording that is read from front to back.

    soundfile would seek after each read, and go no further than libsndfile's guess at the length.

    Raises:
        SOUNDFILE_ERRORS: libsndfile does not know it, or it is broken.
    """

    def __init__(self, content: bytes | Path, *, has_no_length: bool = False) -> None:
        self.content, self.has_no_length = content, has_no_length
        if has_no_length:
            content = content if isinstance(content, bytes) else content.read_bytes()
            super().__init__(EndlessFile(content))
        else:  # a name that is not UTF-8 is opened too
            super().__init__(io.BytesIO(content) if isinstance(content, bytes) else os.fsencode(content))

    def seekable(self) -> bool:
        return False

    @property
    def knows_its_length(self) -> bool:
        """Whether `frames` is what the header says; a FLAC from a pipe and an MP3 without a table say nothing."""
        return not self.has_no_length and bool(self.frames < _UNKNOWN_FRAMES)


def open_recording(content: bytes | Path, ending: Ending) -> SequentialFile:
    """Open an encoded recording whose `ending` is known.

    Raises:
        SOUNDFILE_ERRORS: libsndfile does not know it, or it is broken.
    """
    file = SequentialFile(ending.mended or content, has_no_length=ending.has_no_length)
    # libsndfile takes the length of some MP3s to be three quarters of what their table says, and would stop there
    if ending.promised_samples and file.frames + _DELAYED < MOST_MISJUDGED * ending.promised_samples:
        file.close()
        return SequentialFile(ending.mended or content, has_no_length=True)
    return file


def has_last_frame(file: SequentialFile) -> bool:
    """Whether the last promised sample of a FLAC can be decoded: its frames carry checksums. False for other kinds.

    The file can't be used afterwards.
    """
    if file.format != "FLAC" or not file.knows_its_length:
        return False
    try:
        file.seek(max(file.frames - 1, 0))
        return len(file.read(1)) == min(file.frames, 1)
    except SOUNDFILE_ERRORS:
        return False


def soundfile_reason(error: BaseException) -> str:
    """Why soundfile could not read a file, in its own words: `str` would name the file, or an address in memory."""
    return f"soundfile can't read it ({getattr(error, 'error_string', None) or error})"


def check_header(*, rate_hz: int, channels: int, channel: int | None, file_format: str | None = None) -> None:
    """Refuse a header that no recording has, and a missing channel.

    Raises:
        AudioError: what is wrong.
    """
    if file_format is not None and file_format not in FORMATS:
        raise AudioError(f"it is {file_format}, and a torn file of that kind looks like a shorter one; make it WAV")
    if rate_hz not in RATES_HZ:
        raise AudioError(f"its header says {rate_hz:,} samples a second, which is no rate of a recording")
    if channel is not None and not 0 <= channel < channels:
        raise AudioError(f"it has {channels} channel{'s' * (channels > 1)}, no number {channel} (they count from 0)")


def read_mono(file: SequentialFile, *, frames: int | None, channel: int | None) -> np.ndarray:
    """Up to `frames` mono samples, shape (samples,); all of them if `frames` is None.

    Raises:
        AudioError: it can't be decoded, or holds no sound.
    """
    return np.concatenate([np.zeros(0, dtype=np.float32), *mono_blocks(file, frames=frames, channel=channel)])


def mono_blocks(
    file: SequentialFile, *, frames: int | None, channel: int | None, first: int = 0
) -> Iterator[np.ndarray]:
    """As `read_mono`, from frame `first` on, in blocks of at most 16 MiB.

    A file that breaks off less than MISSING_TOLERANCE_S before its promised end simply ends there.

    Raises:
        AudioError: it can't be decoded, holds no sound, or goes on for more than MOST_S without saying how long it is.
    """
    most = max(1, _BLOCK_VALUES // file.channels)
    done = 0  # frames
    try:
        if first:
            file.seek(first)
        while frames is None or done < frames:
            wanted = most if frames is None else min(most, frames - done)
            samples = file.read(wanted, dtype="float32", always_2d=True)
            yield to_mono(samples, channel)
            done += len(samples)
            if len(samples) < wanted:
                break
            if frames is None and done > MOST_S * file.samplerate:
                raise AudioError(f"it does not say how long it is, and is longer than {MOST_S / 3600:g} hours")
    except SOUNDFILE_ERRORS as error:
        readable = _readable(file)
        if file.frames - len(readable) > MISSING_TOLERANCE_S * file.samplerate:
            good_s, promised_s = len(readable) / file.samplerate, file.frames / file.samplerate
            raise AudioError(
                f"it is damaged: it can be read to {good_s:.3f} s of the {promised_s:.3f} s that its header says"
            ) from error
        yield to_mono(readable[first + done :], channel)


def _readable(broken: SequentialFile) -> np.ndarray:
    """What can be read of a broken file, give or take a small block, shape (frames, channels)."""
    blocks = [np.zeros((0, broken.channels), dtype=np.float32)]
    try:
        # opened anew: libsndfile does not always recover from an error
        with SequentialFile(broken.content, has_no_length=broken.has_no_length) as file:
            while len(block := file.read(_SMALL_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                blocks.append(block)
    except SOUNDFILE_ERRORS:
        pass
    return np.concatenate(blocks)


def to_mono(samples: np.ndarray, channel: int | None) -> np.ndarray:
    """(samples, channels) to (samples,): one channel, or the mean of all.

    Raises:
        AudioError: some sample is not a finite number, or far above full scale.
    """
    if channel is not None:
        samples = samples[:, channel : channel + 1]
    if samples.size:
        level = max(samples.max(), -samples.min())  # NaN if any sample is
        if not np.isfinite(level):
            raise AudioError("it holds samples that are not finite numbers")
        if level > MAX_LEVEL:
            raise AudioError(f"its samples reach {level:,.0f}, where 1 is full scale; divide them by their full scale")
    return samples.mean(axis=1, dtype=np.float32)


def place_of_segment(
    file: SequentialFile, ending: Ending, *, start_s: float | None, end_s: float | None
) -> tuple[int, int]:
    """As `segment_within`, for a file that goes as far as `ending` says.

    Raises:
        AudioError: it is torn before the segment ends, or the segment is not within the recording.
    """
    present_s, missing_s = file.frames / file.samplerate, missing_at_end_s(file, ending)
    if missing_s > MISSING_TOLERANCE_S and (end_s is None or end_s > present_s):
        raise AudioError(ends_early(present_s, present_s + missing_s))
    if ending.ends_s is not None and (end_s is None or end_s > ending.ends_s):
        raise AudioError(
            ending.cut
            or f"it ends at {ending.ends_s:.2f} s without Ogg's end mark: it was cut, or its writer was stopped; "
            "if nothing is missing, 'ffmpeg -i OLD -c copy NEW' sets the mark"
        )
    return segment_within(start_s, end_s, frames=file.frames, rate_hz=file.samplerate)


def missing_at_end_s(file: SequentialFile, ending: Ending) -> float:
    """How long before its promised end a file ends, in seconds."""
    present_s = file.frames / file.samplerate
    return present_s / ending.share - present_s


def ends_early(ends_s: float, promised_s: float) -> str:
    """Why a file that ends before its header says is refused."""
    return f"it ends at {ends_s:.3f} s, where its header says {promised_s:.3f} s"


def segment_within(start_s: float | None, end_s: float | None, *, frames: int, rate_hz: int) -> tuple[int, int]:
    """The segment's first frame, and the one after its last.

    Raises:
        AudioError: it is not within the recording.
    """
    first = round(min(start_s or 0, _FOREVER_S) * rate_hz)
    stop = frames if end_s is None else round(min(end_s, _FOREVER_S) * rate_hz)
    last_s = max(start_s or 0, end_s or 0)
    hint = ""
    if last_s > 20 * frames / rate_hz and last_s / 1000 <= frames / rate_hz + END_TOLERANCE_S:
        hint = " (if the times are milliseconds, name the columns so: start_ms, end_ms)"
    if first and first >= frames:
        raise AudioError(
            f"the segment starts at {start_s:.2f} s, but the recording ends at {frames / rate_hz:.2f} s{hint}"
        )
    if stop > frames + END_TOLERANCE_S * rate_hz:
        raise AudioError(f"the segment ends at {end_s:.2f} s, but the recording at {frames / rate_hz:.2f} s{hint}")
    return first, max(first, min(stop, frames))
