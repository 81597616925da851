"""Where compressed recordings end (Ogg, FLAC, MP3), by their pages, last frame or table of contents."""

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

_MAX_OGG_PAGE_BYTES = 27 + 255 + 255 * 255
_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_SCAN_BYTES = 1 << 16  # more than any frame, and where a first MP3 frame is looked for
_MP3_RATES_HZ = (44_100, 48_000, 32_000)
_MP3_KBITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5, of lower rates
)
_MP3_MIN_FRAME_BYTES = 24


@dataclass(frozen=True)
class Ending:
    """What the bytes tell about how far a recording goes.

    `share` is how much of the promised samples is there, in (0, 1]. `is_guess`: libsndfile can't know how many samples
    there are. `is_certain`: as many as it says. `ends_s` is up to where an Ogg stream without its end mark can be used.
    `mended` is the file with a header by which libsndfile reads it to its end. `fault` is why it can't be used at all.
    """

    share: float = 1.0
    is_guess: bool = False
    is_certain: bool = False
    ends_s: float | None = None
    mended: bytes | None = None
    fault: str | None = None


def read_at(file: BinaryIO, position: int, count: int) -> bytes:
    """`count` bytes from `position` on; fewer at the end."""
    file.seek(position)
    return file.read(count)


# -- Ogg


def ogg_ending(file: BinaryIO, size: int) -> Ending:
    """Walk over all pages: libsndfile leaves out a damaged one, and is right about the length where none is."""
    position, sample, page, rate_hz, skipped = 0, 0, 0, 0, 0
    serial: bytes | None = None
    has_ended = False
    while position < size:
        head = read_at(file, position, _MAX_OGG_PAGE_BYTES)
        so_far = f"after {max(0, sample - skipped) / (rate_hz or 1):.2f} s"
        if has_ended and head[:3] == b"TAG" and size - position == 128:  # ID3 at the end harms nobody
            break
        if head[:4] != b"OggS"[: len(head)]:
            return Ending(fault=f"it is damaged {so_far}, where the next Ogg page should begin")
        segments = head[26] if len(head) > 26 else 255
        length = 27 + segments + sum(head[27 : 27 + segments])
        if position + length > size:
            return Ending(fault=f"it ends inside of an Ogg page {so_far}: it has been cut")
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
    """Ogg's CRC-32: zlib's with the bits of bytes and result in reverse, and nothing inverted."""
    reversed_bits = zlib.crc32(page.translate(_BITS_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reversed_bits:032b}"[::-1], 2)


def _ogg_clock(packet: bytes) -> tuple[int, int]:
    """Ticks a second of an Ogg stream's positions, and how many of them are before its beginning; 0 if not known."""
    if packet[:8] == b"OpusHead":
        return 48_000, int.from_bytes(packet[10:12], "little")
    if packet[:7] == b"\x01vorbis":
        return int.from_bytes(packet[12:16], "little"), 0
    return 0, 0


# -- FLAC


def flac_ending(file: BinaryIO, size: int) -> Ending:
    """Certain if the last frame is complete, and the promised samples end with it."""
    info = read_at(file, 8, 18)
    block, longest_frame = int.from_bytes(info[:2], "big"), int.from_bytes(info[7:10], "big")
    total_samples = int.from_bytes(info[13:18], "big") & 0xFFFFFFFFF  # 36 bits
    rate_hz = max(1, int.from_bytes(info[10:13], "big") >> 4)  # 20 bits
    if total_samples == 0:  # from a pipe
        return Ending(is_guess=True)
    tail = read_at(file, max(0, size - (longest_frame or _SCAN_BYTES)), size)
    place = tail.rfind(b"\xff")
    while place >= 0:
        end = _flac_frame_end(tail[place : place + 16], block)
        if end is not None and end >= total_samples and _crc(tail[place:], bits=16, polynomial=0x8005) == 0:
            if end == total_samples:
                return Ending(is_certain=True)
            return Ending(
                fault=f"its header says {total_samples / rate_hz:.3f} s, and its sound goes on to {end / rate_hz:.3f} s"
            )
        place = tail.rfind(b"\xff", 0, place)
    return Ending()


def _flac_frame_end(head: bytes, block: int) -> int | None:
    """The number of the sample after a frame, by its header; None if it is no header."""
    if len(head) < 8 or head[1] & 0xFE != 0xF8:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    ones = 8 - (head[4] ^ 0xFF).bit_length()  # the number is coded as UTF-8 does
    number, at = head[4] & (0x7F >> ones), 5
    for byte in head[5 : 5 + max(0, ones - 1)]:
        number, at = number << 6 | byte & 0x3F, at + 1
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    if size_bytes:
        samples = int.from_bytes(head[at : at + size_bytes], "big") + 1
    elif size_code < 6:
        samples = 192 if size_code == 1 else 576 << size_code >> 2
    else:
        samples = 1 << size_code
    at += size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if _crc(head[: at + 1], bits=8, polynomial=0x07) != 0:
        return None
    return (number if head[1] & 1 else number * block) + samples


def _crc(content: bytes, *, bits: int, polynomial: int) -> int:
    """A checksum of FLAC's kind; 0 for a content that ends with its own."""
    table, checksum, mask = _crc_table(bits, polynomial), 0, (1 << bits) - 1
    for byte in content:
        checksum = checksum << 8 & mask ^ table[checksum >> (bits - 8) ^ byte]
    return checksum


@lru_cache
def _crc_table(bits: int, polynomial: int) -> list[int]:
    table = []
    for byte in range(256):
        checksum = byte << (bits - 8)
        for _ in range(8):
            checksum = checksum << 1 ^ (polynomial if checksum >> (bits - 1) else 0)
            checksum &= (1 << bits) - 1
        table.append(checksum)
    return table


# -- MP3


def mp3_ending(file: BinaryIO, size: int) -> Ending:
    """Certain if the bytes are there that the table in the first frame promises; mended if there is no such table."""
    position = 0
    while (head := read_at(file, position, 10))[:3] == b"ID3" and len(head) == 10:
        length = 0
        for byte in head[6:]:
            length = length << 7 | byte & 0x7F
        position += 10 + length + 10 * bool(head[5] & 0x10)
    scanned = read_at(file, position, _SCAN_BYTES)
    first = next((place for place in range(len(scanned)) if _mp3_frame_at(scanned, place)), None)
    if first is None:
        return Ending(is_guess=True)
    frame = scanned[first : first + _mp3_frame_bytes(scanned[first : first + 4])]
    side_bytes = {(1, 0): 32, (1, 1): 17, (0, 0): 17, (0, 1): 9}[(frame[1] >> 3 & 1, int(frame[3] >> 6 == 3))]
    for at in (4 + side_bytes, 6 + side_bytes):
        if frame[at : at + 4] in (b"Xing", b"Info") and frame[at + 7 : at + 8] and frame[at + 7] & 1:
            length = int.from_bytes(frame[at + 12 : at + 16], "big")
            return Ending(is_certain=bool(frame[at + 7] & 2) and 0 < length <= size - position - first)
    rest = read_at(file, position + first, size)
    return Ending(is_guess=True, mended=_mp3_table(frame, side_bytes, len(rest)) + rest)


def _mp3_frame_at(content: bytes, place: int) -> bool:
    """Whether a frame begins there, and another of its kind, or the end, comes after it."""
    length = _mp3_frame_bytes(content[place : place + 4])
    if not length:
        return False
    after = content[place + length : place + length + 4]
    return len(after) < 4 or (
        _mp3_frame_bytes(after) > 0 and after[1] == content[place + 1] and after[2] & 12 == content[place + 2] & 12
    )


def _mp3_frame_bytes(head: bytes) -> int:
    """The length of an MP3 frame by its first four bytes; 0 if they are none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # eleven ones, and layer III
        return 0
    version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bits in (0, 15) or rate == 3:
        return 0
    low = version != 3
    rate_hz = _MP3_RATES_HZ[rate] >> (low + (version == 0))
    return (72_000 if low else 144_000) * _MP3_KBITS[low][bits] // rate_hz + (head[2] >> 1 & 1)


def _mp3_table(frame: bytes, side_bytes: int, rest: int) -> bytes:
    """A frame that says how many follow, and rather more than there can be: libsndfile reads no further than that."""
    head = bytes((0xFF, frame[1] | 1, 0x90 | frame[2] & 12, frame[3]))
    content = head + bytes(side_bytes) + b"Xing\0\0\0\1" + (rest // _MP3_MIN_FRAME_BYTES + 2).to_bytes(4, "big")
    return content.ljust(_mp3_frame_bytes(head), b"\0")
