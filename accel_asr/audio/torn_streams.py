"""Where compressed recordings end: Ogg by its pages, MP3 by the table in its first frame.

libsndfile reads a torn file as a shorter one, without an error, and no library we know of tells the two apart.
"""

import re
import zlib
from dataclasses import dataclass
from typing import BinaryIO

_MAX_OGG_PAGE_BYTES = 27 + 255 + 255 * 255
_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_SCAN_BYTES = 1 << 16  # where the first MP3 frame is looked for
_MP3_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # eleven ones, a known version, layer III
_MP3_TABLE_WITHIN = 44  # bytes of the first frame: a header, up to 32 of side information, a checksum, the mark


@dataclass(frozen=True)
class Ending:
    """What a file's bytes say about how far the recording goes.

    Args:
        share: How much of the promised samples is there, in (0, 1].
        is_certain: The number of samples that libsndfile reports is right.
        has_no_length: An MP3 without a table, of which libsndfile would guess the length by its size.
        ends_s: How much of an Ogg stream without its end mark can be used.
        cut: How such a stream ends in the middle of a page.
        mended: The file with a header by which libsndfile reads it to its end.
        fault: Why the recording can't be used at all.
        promised_samples: Of an MP3, by the table in its first frame.
    """

    share: float = 1.0
    is_certain: bool = False
    has_no_length: bool = False
    ends_s: float | None = None
    cut: str | None = None
    mended: bytes | None = None
    fault: str | None = None
    promised_samples: int | None = None


def read_at(file: BinaryIO, position: int, count: int) -> bytes:
    """Up to `count` bytes from `position` on."""
    file.seek(position)
    return file.read(count)


def ogg_ending(file: BinaryIO, size: int) -> Ending:
    """Check every page: libsndfile skips a damaged one; where none is, the length that it reports is right."""
    position, sample, page, rate_hz, skipped = 0, 0, 0, 0, 0
    serial: bytes | None = None
    has_ended = False
    while position < size:
        head = read_at(file, position, _MAX_OGG_PAGE_BYTES)
        so_far = f"after {max(0, sample - skipped) / (rate_hz or 1):.2f} s"
        if has_ended and head[:3] == b"TAG" and size - position == 128:  # an ID3 tag at the end does no harm
            break
        if head[:4] != b"OggS"[: len(head)]:
            return Ending(fault=f"it is damaged {so_far}, where the next Ogg page should begin")
        segments = head[26] if len(head) > 26 else 255
        length = 27 + segments + sum(head[27 : 27 + segments])
        if position + length > size:
            cut = f"it ends inside of an Ogg page {so_far}: it has been cut"
            return Ending(ends_s=max(0, sample - skipped) / (rate_hz or 1), cut=cut)
        if _ogg_checksum(head[:22] + bytes(4) + head[26:length]) != int.from_bytes(head[22:26], "little"):
            return Ending(fault=f"it is damaged in an Ogg page {so_far}")
        flags, number = head[5], int.from_bytes(head[18:22], "little")
        if serial is None:
            serial, page = head[14:18], number
            rate_hz, skipped = _ogg_clock(head[27 + segments : length])
        elif head[14:18] != serial or flags & 2 or has_ended:
            return Ending(fault=f"another Ogg stream begins {so_far}, and would not be read; make them one")
        if number != page:
            return Ending(fault=f"Ogg pages are missing {so_far}")
        page += 1
        if head[6:14] != b"\xff" * 8:  # else no packet ends on this page
            sample = int.from_bytes(head[6:14], "little", signed=True)
        has_ended = bool(flags & 4)
        position += length
    return Ending(is_certain=True) if has_ended else Ending(ends_s=max(0, sample - skipped) / (rate_hz or 1))


def _ogg_checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's with the bits of bytes and result reversed, and nothing inverted."""
    reversed_bits = zlib.crc32(page.translate(_BITS_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reversed_bits:032b}"[::-1], 2)


def _ogg_clock(packet: bytes) -> tuple[int, int]:
    """Ticks a second of an Ogg stream's positions, and how many of them come before its beginning; 0 if unknown."""
    if packet[:8] == b"OpusHead":
        return 48_000, int.from_bytes(packet[10:12], "little")
    if packet[:7] == b"\x01vorbis":
        return int.from_bytes(packet[12:16], "little"), 0
    return 0, 0


def mp3_ending(file: BinaryIO, size: int) -> Ending:
    """Certain if the bytes are there that the table in the first frame promises."""
    position = 0
    while (head := read_at(file, position, 10))[:3] == b"ID3" and len(head) == 10:
        length = 0
        for byte in head[6:]:
            length = length << 7 | byte & 0x7F
        position += 10 + length + 10 * bool(head[5] & 0x10)
    scanned = read_at(file, position, _SCAN_BYTES)
    sync = _MP3_SYNC.search(scanned)
    if sync is None:  # another kind of file
        return Ending()
    frame = scanned[sync.start() : sync.start() + 256]
    for mark in (b"Xing", b"Info"):
        place = frame.find(mark, 0, _MP3_TABLE_WITHIN)
        if place >= 0 and frame[place + 7] & 1:
            frames = int.from_bytes(frame[place + 8 : place + 12], "big")
            promised_bytes = int.from_bytes(frame[place + 12 : place + 16], "big")
            has_bytes = bool(frame[place + 7] & 2)
            samples_of_frame = 1152 if frame[1] & 0x18 == 0x18 else 576  # MPEG-1, and the versions of lower rates
            return Ending(
                is_certain=has_bytes and 0 < promised_bytes <= size - position - sync.start(),
                promised_samples=frames * samples_of_frame,
            )
    return Ending(has_no_length=True)
