"""Read WebDataset shards: uncompressed tars whose members `key.wav`, `key.txt`, `key.json` make up one recording."""

import io
import json
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from accel_asr.audio.byte_ranges import ByteRange
from accel_asr.data.reading.audio_paths import named
from accel_asr.data.reading.downloads import CHUNK_BYTES, ResumingStream, is_http, without_secrets
from accel_asr.data.reading.source_table import Table
from accel_asr.data.reading.text_files import AUDIO_SUFFIXES, TEXT_SUFFIX
from accel_asr.errors import UserError
from accel_asr.files.regular_files import open_regular

JSON_SUFFIX = ".json"
_OWN_COLUMNS = ("key", "audio")


# -- members


class _DamagedError(Exception):
    """A shard can't be read on: where and why."""


@dataclass
class _Report:
    """What was met and not used, by what is said of it; and what is wrong, for which reading ends."""

    passed_over: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, what: str, name: str, shard: str) -> None:
        self.passed_over.setdefault(what, []).append(f"{name!r} in {shard}")

    def notices(self) -> list[str]:
        return [f"{what}: {len(names):,} ({named(names)})" for what, names in self.passed_over.items()]

    def raise_problems(self) -> None:
        if self.problems:
            count = len(self.problems)
            raise UserError(
                f"data.name_or_path: can't read {count:,} shard{'s' * (count > 1)} or member{'s' * (count > 1)}: "
                f"{named(self.problems)}; write the shards again"
            )


class _ForwardFile:
    """The little that `tarfile` asks of a file, counted from where it began; goes forward only."""

    def __init__(self, file: BinaryIO, *, can_seek: bool) -> None:
        self.file, self.can_seek, self.position, self.last_read = file, can_seek, 0, b""

    def tell(self) -> int:
        return self.position

    def seek(self, position: int) -> None:
        if position < self.position:  # a damaged header says so, and would lead round in circles
            raise tarfile.ReadError("a member of negative size")
        if self.can_seek:
            self.file.seek(position - self.position, io.SEEK_CUR)
            self.position = position
        while self.position < position and self.read(min(position - self.position, CHUNK_BYTES)):
            pass

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end of the file only."""
        parts = []
        while size > 0 and (part := self.file.read(min(size, CHUNK_BYTES))):  # the size may be a damaged header's
            parts.append(part)
            size -= len(part)
        self.last_read = b"".join(parts)
        self.position += len(self.last_read)
        return self.last_read


@dataclass
class _Group:
    """Adjacent members of one key, the first of each suffix. `next_offset`: where the next key starts in the shard."""

    key: str
    audio: str | None = None  # its suffix
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)  # suffix -> offset from where reading began, size
    contents: dict[str, bytes] = field(default_factory=dict)  # suffix -> what was read of it
    fields: dict[str, Any] = field(default_factory=dict)
    next_offset: int = 0


def _members(file: _ForwardFile, report: _Report, *, shard: str, start: int) -> Iterator[tarfile.TarInfo]:
    """The members of a shard in order; `start` is where `file` began in the shard. What is not read is skipped.

    Raises:
        _DamagedError: the shard is cut, or no tar.
    """
    last: tarfile.TarInfo | None = None
    try:
        tar = tarfile.TarFile(fileobj=file, encoding="utf-8")  # type: ignore[arg-type]
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined] # else it keeps all of them
            last = member
            yield member
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:  # of damaged headers
        if start and file.position == 0:  # only the end-of-archive blocks would come here, and they are missing
            return
        if file.position <= tarfile.BLOCKSIZE:
            what = f"no member starts at byte {start:,}" if start else "this is no uncompressed tar"
            raise _DamagedError(f"{what} ({error})") from error
        raise _DamagedError(f"cut or damaged in or after {_place(last, start)} ({error})") from error
    if file.last_read.strip(b"\0"):  # `tarfile` takes a bad header for the end
        at_byte = start + file.position - len(file.last_read)
        raise _DamagedError(f"cut or damaged at byte {at_byte:,}, after {_place(last, start)}: no header is there")
    end, last_read = file.position, file.last_read
    if file.read(tarfile.RECORDSIZE).strip(b"\0"):
        report.add(
            "data after the end of the archive, not read (tars can't be joined by cat)",
            last.name if last else "",
            shard,
        )
    file.position, file.last_read = end, last_read


def _place(member: tarfile.TarInfo | None, start: int) -> str:
    return f"{member.name!r}, whose header is at byte {start + member.offset:,}" if member else "the beginning"


def _recordings(file: _ForwardFile, report: _Report, *, shard: str, start: int, holds_audio: bool) -> Iterator[_Group]:
    """The groups that have audio, in order; `start` is where `file` began in the shard.

    Raises:
        _DamagedError: the shard is cut, or no tar.
    """
    group: _Group | None = None
    closed: set[str] = set()
    for member in _members(file, report, shard=shard, start=start):
        key, suffix = _key_and_suffix(member, report, shard=shard)
        if suffix is None:
            continue
        if group is None or group.key != key:
            if group is not None:
                group.next_offset = start + member.offset
                if _is_recording(group, report, shard=shard):
                    yield group
                closed.add(group.key)
            if key in closed:
                report.add("keys that come again, apart from their first members; sort the tar", key, shard)
            group = _Group(key)
        if _is_wanted(group, member, suffix, report, shard=shard):
            group.ranges[suffix] = (member.offset_data, member.size)
            if holds_audio or suffix != group.audio:
                file.seek(member.offset_data)
                # where this is cut, the next header is not found, which `tarfile` tells
                group.contents[suffix] = file.read(member.size)
    if group is not None:
        group.next_offset = start + file.position - len(file.last_read)  # of the end-of-archive blocks
        if _is_recording(group, report, shard=shard):
            yield group


def _key_and_suffix(member: tarfile.TarInfo, report: _Report, *, shard: str) -> tuple[str, str | None]:
    """The name up to the first dot of its last part, and the rest in lower case; None for what belongs to no key."""
    name = member.name
    if member.isdir():
        return name, None
    if not member.isreg() or member.issparse():
        report.add("links, devices and sparse files, never followed", name, shard)
        return name, None
    if member.size < 0:
        raise _DamagedError(f"{name!r} has a negative size")
    if not name.isascii() and not name.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in name):
        report.problems.append(f"{shard}: {name!r}: its name is not UTF-8")
        return name, None
    stem, dot, suffix = name[name.rfind("/") + 1 :].partition(".")
    if not stem or not dot:
        report.add("other members, passed over", name, shard)
        return name, None
    return name[: -len(suffix) - 1], f".{suffix.lower()}"


def _is_wanted(group: _Group, member: tarfile.TarInfo, suffix: str, report: _Report, *, shard: str) -> bool:
    """Whether a member is the first of its kind in its group, and of use."""
    if suffix not in AUDIO_SUFFIXES and suffix not in (TEXT_SUFFIX, JSON_SUFFIX):
        report.add("other members, passed over", member.name, shard)
    elif suffix in group.ranges:
        report.add("duplicates of a member, the first was taken", member.name, shard)
    elif suffix in AUDIO_SUFFIXES and group.audio is not None:
        report.add("second audio members of a key, the first was taken", member.name, shard)
    else:
        if suffix in AUDIO_SUFFIXES:
            group.audio = suffix
        return True
    return False


def _is_recording(group: _Group, report: _Report, *, shard: str) -> bool:
    """Whether a complete group has audio; fills its `fields`, with `text`, if it does."""
    if group.audio is None:
        if group.ranges:
            report.add("keys without audio, passed over", group.key, shard)
        return False
    for suffix, read in ((JSON_SUFFIX, _json_fields), (TEXT_SUFFIX, _text_field)):
        if suffix in group.contents:
            try:
                fields = read(group.contents[suffix].decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                report.problems.append(f"{shard}: {group.key + suffix!r}: {error}")
                continue
            if suffix == TEXT_SUFFIX and group.fields.get("text", fields["text"]) != fields["text"]:
                report.add("texts that differ between .txt and .json, the .txt was taken", group.key, shard)
            group.fields |= fields
    for name in _OWN_COLUMNS:
        if group.fields.pop(name, None) is not None:
            report.add(f"fields {name!r} of .json members, passed over for the column of that name", group.key, shard)
    if group.fields.setdefault("text", None) is None:
        report.add("keys without text (no .txt, no field 'text' in a .json)", group.key, shard)
    return True


def _json_fields(content: str) -> dict[str, Any]:
    fields = json.loads(content, parse_constant=lambda name: None if name == "NaN" else float(name))
    if not isinstance(fields, dict):
        raise ValueError("it is JSON, but not an object")
    return fields


def _text_field(content: str) -> dict[str, Any]:
    return {"text": " ".join(line.strip() for line in content.splitlines() if line.strip())}


# -- shards


def read_tar_shards(
    shards: Sequence[Path], *, on_bytes: Callable[[int], None] | None = None
) -> tuple[Table, list[str]]:
    """Index local shards: one row for each key with audio, in order. Audio is neither read nor unpacked.

    `on_bytes` is told how many more bytes of the shards have been gone through.

    Returns:
        The columns `key` (unique; with its shard's stem where several shards have it), `audio` (`ByteRange`), `text`
        (str or None) and one for each field of the .json members; and notices of what was not used.

    Raises:
        UserError: a shard can't be read, is cut, or no tar; malformed JSON or UTF-8; no audio at all. Names all.
    """
    report = _Report()
    found: list[tuple[Path, _Group]] = []
    for shard in shards:
        done_bytes = 0
        try:
            with open_regular(shard) as file:
                size_bytes = os.fstat(file.fileno()).st_size
                forward = _ForwardFile(file, can_seek=True)
                for group in _recordings(forward, report, shard=shard.name, start=0, holds_audio=False):
                    group.contents.clear()
                    found.append((shard, group))
                    if on_bytes is not None and group.next_offset >= done_bytes + CHUNK_BYTES:
                        on_bytes(group.next_offset - done_bytes)
                        done_bytes = group.next_offset
            if on_bytes is not None:
                on_bytes(size_bytes - done_bytes)
        except (OSError, _DamagedError) as error:
            report.problems.append(f"{shard!s}: {error}")
    report.raise_problems()
    if not found:
        raise UserError(
            f"data.name_or_path: no audio in {len(shards):,} shards ({named([str(shard) for shard in shards])}); it is "
            f"looked for in members `key.wav` and the like, with one dot only; " + "; ".join(report.notices())
        )
    table: dict[str, list[Any]] = {
        "key": _unique_keys(found, report),
        "audio": [ByteRange(shard, *group.ranges[group.audio or ""]) for shard, group in found],
    }
    names = dict.fromkeys(["text", *(name for _, group in found for name in group.fields)])
    return table | {name: [group.fields.get(name) for _, group in found] for name in names}, report.notices()


def _unique_keys(found: list[tuple[Path, _Group]], report: _Report) -> list[str]:
    in_shards = Counter(key for _, key in {(shard, group.key) for shard, group in found})
    taken: Counter[str] = Counter()
    keys = []
    for shard, group in found:
        key = group.key
        if in_shards[key] > 1:
            report.add("keys of several shards, named with their shard", key, shard.name)
            key = f"{shard.stem}/{key}"
        unique = key
        while unique in taken:  # of one shard, or of shards with the same name
            taken[key] += 1
            unique = f"{key}#{taken[key]}"
        taken[unique] += 1
        keys.append(unique)
    return keys


@dataclass(frozen=True, slots=True)
class Sample:
    """One recording of a shard, encoded, and its fields, with `text`. `next_offset` is where the next key starts."""

    key: str
    audio: bytes
    fields: dict[str, Any]
    next_offset: int


def iterate_tar_shard(
    location: str, *, offset: int = 0, on_notice: Callable[[str], None] | None = None
) -> Iterator[Sample]:
    """Stream the recordings of a shard, local or http(s), in order; one at a time is held.

    `offset` is 0 or some sample's `next_offset`. `on_notice` is told at the end what was not used.

    Raises:
        UserError: as `read_tar_shards`, but at once; a server that can't be reached; an offset where no key starts.
    """
    remote = is_http(location)
    shard = without_secrets(location) if remote else location
    report = _Report()
    try:
        with (
            io.BufferedReader(ResumingStream(location, offset=offset))
            if remote
            else open_regular(Path(location)) as file
        ):
            if not remote and file.seek(0, io.SEEK_END) < offset:
                raise _DamagedError(f"there is no byte {offset:,}; it has changed since")
            if not remote:
                file.seek(offset)
            forward = _ForwardFile(file, can_seek=not remote)
            for group in _recordings(forward, report, shard=shard, start=offset, holds_audio=True):
                report.raise_problems()
                yield Sample(group.key, group.contents[group.audio or ""], group.fields, group.next_offset)
        report.raise_problems()
    except (OSError, _DamagedError) as error:
        raise UserError(f"data.name_or_path: can't read {shard}: {error}") from error
    if on_notice is not None:
        for notice in report.notices():
            on_notice(notice)
