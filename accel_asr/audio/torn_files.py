"""Whether an encoded recording is complete: libsndfile reads a torn file as a shorter one, without an error.

Only headers and last bytes are read, unless a header must be mended. What counts as complete:

- WAV, RF64, W64, AIFF, AU, CAF, NIST: the bytes of samples that the header promises are there. A size of 0, or near one
  of the largest numbers, promises nothing: programs that write to a pipe leave it, and the samples go on to the end.
- Ogg: page follows page without a gap, and the last one carries the end mark that every usual encoder sets. Without
  it the file was cut, or its writer was stopped, perhaps before the speaker was. Text beyond the sound teaches a model
  to make words up, and one command sets the mark (the message names it): so the file is refused, but for segments that
  end before. Several streams in a row are refused, since one would be read.
- MP3: the table in the first frame promises frames and bytes. Without one nothing is promised, and libsndfile would
  stop at a guess, at a quarter of some files of variable bitrate; `EndlessFile` makes it read on.
- FLAC is not checked here: `soundfile_decoding.has_last_frame` looks for the last promised sample.
"""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from accel_asr.audio.torn_streams import Ending, mp3_ending, ogg_ending, read_at

MAX_CHUNKS = 4096  # headers have a dozen
_UNKNOWN_SIZES = (  # left by writers that can't go back to fill in the size: a round number, give or take a header
    range(1),
    range(0x7EFFFF00, 0x7F000100),  # SoX, AIFF
    range(0x7FFFEF00, 0x80000100),  # SoX, arecord
    range(0xFFFFFF00, 0x100000000),  # ffmpeg
)
_SHORTENED = "it is compressed by shorten, which nothing here reads; make it WAV: sph2pipe -f wav OLD.sph NEW.wav"

Order = Literal["little", "big"]


def find_ending(source: bytes | Path) -> Ending:
    """How far a recording goes, by its kind; for kinds that are not checked here, an `Ending` that says nothing.

    Raises:
        OSError: the file can't be read.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        head = file.read(12)
        size = file.seek(0, io.SEEK_END)
        if size == 0:
            return Ending(fault="it is empty: 0 bytes")
        if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
            return _wav_ending(file, size, head)
        if head[:4] == b"OggS":
            return ogg_ending(file, size)
        if head[:7] == b"NIST_1A" and b"shorten" in read_at(file, 0, 1024):
            return Ending(fault=_SHORTENED)
        if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0):
            return mp3_ending(file, size)
        return _share_of(_promised_samples(file, size, head))


def _share_of(promised_and_present: tuple[int, int] | None) -> Ending:
    if promised_and_present is None:
        return Ending()
    promised, present = promised_and_present
    if present <= 0 or any(promised in sizes for sizes in _UNKNOWN_SIZES):
        return Ending(is_certain=True)
    return Ending(share=min(1.0, present / promised), is_certain=True)


def _promised_samples(file: BinaryIO, size: int, head: bytes) -> tuple[int, int] | None:
    """Bytes of samples that the header promises, and those that are present; None where it says nothing."""
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        for name, position, length in _chunks(file, size, order="big"):
            if name == b"SSND":  # 8 bytes of offset and block size come before the samples
                return max(length - 8, 0) if length not in _UNKNOWN_SIZES[1] else length, size - position - 8
    elif head[:4] == b"riff":  # W64
        return _in_long_chunks(file, size, position=40, name_bytes=16, order="little")
    elif head[:4] in (b".snd", b"dns."):
        order: Order = "big" if head[:4] == b".snd" else "little"
        return int.from_bytes(head[8:12], order), size - int.from_bytes(head[4:8], order)
    elif head[:4] == b"caff":
        return _in_long_chunks(file, size, position=8, name_bytes=4, order="big")
    elif head[:7] == b"NIST_1A":
        lines = (line.split() for line in read_at(file, 0, 1024).split(b"\n"))
        fields = {words[0]: words[2] for words in lines if len(words) == 3 and words[2].isdigit()}
        counts = [int(fields.get(name, b"0")) for name in (b"sample_count", b"sample_n_bytes", b"channel_count")]
        return counts[0] * counts[1] * counts[2], size - 1024
    return None


def _in_long_chunks(
    file: BinaryIO, size: int, *, position: int, name_bytes: int, order: Order
) -> tuple[int, int] | None:
    """As `_promised_samples`, for lengths of 8 bytes: CAF, and W64, whose lengths include the chunk's header."""
    counted = 24 if name_bytes == 16 else 0
    for _ in range(MAX_CHUNKS):
        head = read_at(file, position, name_bytes + 8)
        length = int.from_bytes(head[name_bytes:], order)
        if head[:4] == b"data":
            return (0 if length >= 1 << 62 else max(length - counted, 0)), size - position - len(head)
        position += max((length + 7) // 8 * 8, 24) if counted else 12 + length
        if position >= size:
            break
    return None


def _chunks(file: BinaryIO, size: int, *, order: Order, position: int = 12) -> Iterator[tuple[bytes, int, int]]:
    """Name of every chunk, position of its content, and its length by the header."""
    for _ in range(MAX_CHUNKS):
        header = read_at(file, position, 8)
        if len(header) < 8:
            return
        length = int.from_bytes(header[4:], order)
        yield header[:4], position + 8, length
        position += 8 + length
        # chunks begin at even places, but not every writer pads
        if length % 2 and not (position < size and read_at(file, position, 4) == b"data"):
            position += 1


def _wav_ending(file: BinaryIO, size: int, head: bytes) -> Ending:
    order: Order = "big" if head[:4] == b"RIFX" else "little"
    long_length = 0  # RF64: lengths of 8 bytes in a chunk of their own
    long_position = None
    for name, position, length in _chunks(file, size, order=order):
        if name == b"ds64":
            long_position = position + 8
            long_length = int.from_bytes(read_at(file, long_position, 8), "little")
        elif name == b"fmt ":
            fault = _wav_fault(read_at(file, position, min(length, 40)), order)
            if fault:
                return Ending(fault=fault)
        elif name == b"data":
            present = size - position
            if head[:4] == b"RF64" and length == 0xFFFFFFFF:
                if long_position is not None and (long_length == 0 or long_length >= 1 << 63) and present > 0:
                    return Ending(mended=_replaced(file, long_position, present.to_bytes(8, "little")))
                return _share_of((long_length, present))
            if length == 0 and present > 0 and not _only_chunks(file, size, order=order, position=position):
                return Ending(
                    mended=_replaced(file, position - 4, b"\xff" * 4)
                )  # libsndfile reads such a chunk to the end
            return _share_of((length, present))
    return Ending()


def _wav_fault(fmt: bytes, order: Order) -> str | None:
    """Why samples would be cut at the wrong places: libsndfile goes by the bits, other programs by the bytes."""
    if len(fmt) < 16:
        return None
    kind, channels, _, _, frame_bytes, bits = struct.unpack(("<" if order == "little" else ">") + "HHIIHH", fmt[:16])
    if kind == 0xFFFE and len(fmt) >= 26:
        kind = int.from_bytes(fmt[24:26], order)
    if kind in (1, 3) and frame_bytes != channels * -(-bits // 8):
        return (
            f"its header contradicts itself: {channels} channel{'s' * (channels != 1)} of {bits} bits, "
            f"but {frame_bytes} bytes a frame"
        )
    return None


def _only_chunks(file: BinaryIO, size: int, *, order: Order, position: int) -> bool:
    """Whether nothing but chunks follows, the last of which ends with the file."""
    end = position
    for name, begin, length in _chunks(file, size, order=order, position=position):
        if not all(32 <= letter < 127 for letter in name):
            return False
        end = begin + length
    return size - 1 <= end <= size


def _replaced(file: BinaryIO, position: int, content: bytes) -> bytes:
    file.seek(0)
    mended = bytearray(file.read())
    mended[position : position + len(content)] = content
    return bytes(mended)
