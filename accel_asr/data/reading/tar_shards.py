"""WebDataset shards: uncompressed tars whose members `key.wav`, `key.txt`, `key.json` make up one recording.

webdataset and `datasets` can't go on from a byte offset, and `tarfile` takes a damaged header for the end.
"""

import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from accel_asr.audio.decoding import ByteRange
from accel_asr.data.reading.downloads import CHUNK_BYTES, ResumingStream, is_http, without_secrets
from accel_asr.data.reading.source_table import Table, first_few, source_error
from accel_asr.data.reading.text_files import AUDIO_SUFFIXES, TEXT_SUFFIX
from accel_asr.errors import UserError
from accel_asr.files.regular_files import open_regular

_JSON_SUFFIX = ".json"
_OWN_COLUMNS = ("key", "audio")
_SUFFIXES = AUDIO_SUFFIXES | {TEXT_SUFFIX, _JSON_SUFFIX}


def read_tar_shards(shards: Sequence[Path]) -> tuple[Table, list[str]]:
    """Index local shards: one row for each key with audio, in order. Audio is neither read nor unpacked.

    Returns:
        The columns `key` (unique; with its shard's stem if several shards have it), `audio` (`ByteRange`), `text` (str
        or None) and one for each field of the .json members; and notices of what was not used.

    Raises:
        UserError: a shard can't be read, is cut, or is no tar; malformed JSON or UTF-8; no audio at all. Names all.
    """
    report = _Report()
    groups: list[tuple[Path, _Group]] = []
    for shard in shards:
        try:
            with open_regular(shard) as file:
                forward = _ForwardFile(file, can_seek=True)
                for group in _recordings(forward, report, shard=shard.name, start=0, holds_audio=False):
                    group.contents.clear()
                    groups.append((shard, group))
        except (OSError, _DamagedError) as error:
            report.problems.append(f"{shard!s}: {error}")
    report.raise_problems()
    if not groups:
        raise UserError(
            "; ".join([f"no audio in {first_few([str(shard) for shard in shards])}", *report.notices()]),
            setting="--data.name_or_path",
            remedy="name the members `key.wav` and the like, with a single dot",
        )
    table: dict[str, list[Any]] = {
        "key": _unique_keys(groups, report),
        "audio": [ByteRange(shard, *group.ranges[group.audio_suffix]) for shard, group in groups],
    }
    names = dict.fromkeys(["text", *(name for _, group in groups for name in group.fields)])
    return table | {name: [group.fields.get(name) for _, group in groups] for name in names}, report.notices()


@dataclass(frozen=True, slots=True)
class Sample:
    """One encoded recording of a shard, and its fields, with `text`. `next_offset` is where the next key starts."""

    key: str
    audio: bytes
    fields: dict[str, Any]
    next_offset: int


def iterate_tar_shard(location: str, *, offset: int = 0) -> Iterator[Sample]:
    """Stream the recordings of a shard, local or http(s), in order; only one is in memory.

    `offset` is 0 or some sample's `next_offset`.

    Raises:
        UserError: as `read_tar_shards`, but at once; an unreachable server; an offset where no key starts.
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
                raise _DamagedError(f"it has changed, and has no byte {offset:,}")
            if not remote:
                file.seek(offset)
            forward = _ForwardFile(file, can_seek=not remote)
            for group in _recordings(forward, report, shard=shard, start=offset, holds_audio=True):
                report.raise_problems()
                yield Sample(group.key, group.contents[group.audio_suffix], group.fields, group.next_offset)
        report.raise_problems()
    except (OSError, _DamagedError) as error:
        raise source_error(f"can't be read: {error}", shard) from error


def _unique_keys(groups: list[tuple[Path, "_Group"]], report: "_Report") -> list[str]:
    in_shards = Counter(key for _, key in {(shard, group.key) for shard, group in groups})
    taken: Counter[str] = Counter()
    keys = []
    for shard, group in groups:
        key = group.key
        if in_shards[key] > 1:
            report.add("keys of several shards, named with their shard", key, shard.name)
            key = f"{shard.stem}/{key}"
        unique = key
        while unique in taken:  # in one shard, or in shards with the same name
            taken[key] += 1
            unique = f"{key}#{taken[key]}"
        taken[unique] += 1
        keys.append(unique)
    return keys


# -- members


class _DamagedError(Exception):
    """A shard can't be read on: where and why."""


@dataclass
class _Report:
    """What was not used, by reason; and problems, for which reading ends."""

    unused: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, reason: str, name: str, shard: str) -> None:
        self.unused.setdefault(reason, []).append(f"{name!r} in {shard}")

    def notices(self) -> list[str]:
        return [f"{reason}: {len(names):,} ({first_few(names)})" for reason, names in self.unused.items()]

    def raise_problems(self) -> None:
        if self.problems:
            raise UserError(
                f"{len(self.problems):,} shards or members can't be read: {first_few(self.problems)}",
                setting="--data.name_or_path",
                remedy="write the shards again",
            )


class _ForwardFile:
    """The little that `tarfile` asks of a file, counted from where reading began; it only goes forward."""

    def __init__(self, file: BinaryIO, *, can_seek: bool) -> None:
        self.file, self.can_seek, self.position, self.last_read = file, can_seek, 0, b""

    def tell(self) -> int:
        return self.position

    def seek(self, position: int) -> None:
        if position < self.position:  # by a damaged header; it would lead round in circles
            raise tarfile.ReadError("a member of negative size")
        if self.can_seek:
            self.file.seek(position - self.position, io.SEEK_CUR)
            self.position = position
        while self.position < position and self.read(min(position - self.position, CHUNK_BYTES)):
            pass

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end of the file."""
        parts = []
        while size > 0 and (part := self.file.read(min(size, CHUNK_BYTES))):  # a damaged header may give any size
            parts.append(part)
            size -= len(part)
        self.last_read = b"".join(parts)
        self.position += len(self.last_read)
        return self.last_read


@dataclass
class _Group:
    """Adjacent members of one key, the first of each suffix. `next_offset`: where the next key starts in the shard."""

    key: str
    audio_suffix: str = ""
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)  # suffix -> offset from where reading began, size
    contents: dict[str, bytes] = field(default_factory=dict)  # by suffix
    fields: dict[str, Any] = field(default_factory=dict)
    next_offset: int = 0


def _members(file: _ForwardFile, report: _Report, *, shard: str, start: int) -> Iterator[tarfile.TarInfo]:
    """The members of a shard in order; `start` is where `file` began in the shard. What is not read is skipped.

    Raises:
        _DamagedError: the shard is cut, or is no tar.
    """
    last: tarfile.TarInfo | None = None

    def after() -> str:
        return f"{last.name!r}, whose header is at byte {start + last.offset:,}" if last else "the beginning"

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
            problem = f"no member starts at byte {start:,}" if start else "this is not an uncompressed tar"
            raise _DamagedError(f"{problem} ({error})") from error
        raise _DamagedError(f"cut or damaged in or after {after()} ({error})") from error
    if file.last_read.strip(b"\0"):  # `tarfile` takes a bad header for the end
        at_byte = start + file.position - len(file.last_read)
        raise _DamagedError(f"cut or damaged at byte {at_byte:,}, after {after()}: no header is there")
    end, last_read = file.position, file.last_read
    if file.read(tarfile.RECORDSIZE).strip(b"\0"):
        name = last.name if last else ""
        report.add("data after the end of the archive, not read (tars can't be joined by cat)", name, shard)
    file.position, file.last_read = end, last_read


def _recordings(file: _ForwardFile, report: _Report, *, shard: str, start: int, holds_audio: bool) -> Iterator[_Group]:
    """The groups that have audio, in order; `start` is where `file` began in the shard.

    Raises:
        _DamagedError: the shard is cut, or is no tar.
    """
    group: _Group | None = None
    closed: set[str] = set()
    for member in _members(file, report, shard=shard, start=start):
        key, suffix = _key_and_suffix(member, report, shard=shard)
        if not suffix:
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
        is_audio = suffix in AUDIO_SUFFIXES
        if reason := _reason_unused(suffix, group):
            report.add(reason, member.name, shard)
        else:
            group.audio_suffix = suffix if is_audio else group.audio_suffix
            group.ranges[suffix] = (member.offset_data, member.size)
            if holds_audio or not is_audio:
                file.seek(member.offset_data)
                group.contents[suffix] = file.read(member.size)  # if this is cut, `tarfile` finds no next header
    if group is not None:
        group.next_offset = start + file.position - len(file.last_read)  # of the end-of-archive blocks
        if _is_recording(group, report, shard=shard):
            yield group


def _reason_unused(suffix: str, group: _Group) -> str:
    if suffix not in _SUFFIXES:
        return "other members, ignored"
    if suffix in group.ranges:
        return "duplicates of a member, the first was taken"
    if suffix in AUDIO_SUFFIXES and group.audio_suffix:
        return "second audio members of a key, the first was taken"
    return ""


def _key_and_suffix(member: tarfile.TarInfo, report: _Report, *, shard: str) -> tuple[str, str]:
    """The name up to the first dot of its last part, and the rest in lower case; no suffix for what has no key."""
    name = member.name
    stem, dot, suffix = name[name.rfind("/") + 1 :].partition(".")
    if member.isdir():
        pass
    elif not member.isreg() or member.issparse():
        report.add("links, devices and sparse files, never followed", name, shard)
    elif member.size < 0:
        raise _DamagedError(f"{name!r} has a negative size")
    elif any("\ud800" <= letter <= "\udfff" for letter in name):
        report.problems.append(f"{shard}: {name!r}: its name is not UTF-8")
    elif not stem or not dot:
        report.add("other members, ignored", name, shard)
    else:
        return name[: -len(suffix) - 1], f".{suffix.lower()}"
    return name, ""


def _is_recording(group: _Group, report: _Report, *, shard: str) -> bool:
    """Whether a complete group has audio; fills its `fields`, with `text`, if it does."""
    if not group.audio_suffix:
        if group.ranges:
            report.add("keys without audio, ignored", group.key, shard)
        return False
    for suffix, parse in ((_JSON_SUFFIX, _json_fields), (TEXT_SUFFIX, _text_field)):
        if suffix in group.contents:
            try:
                fields = parse(group.contents[suffix].decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                report.problems.append(f"{shard}: {group.key + suffix!r}: {error}")
                continue
            if suffix == TEXT_SUFFIX and group.fields.get("text", fields["text"]) != fields["text"]:
                report.add("texts that differ between .txt and .json, the .txt was taken", group.key, shard)
            group.fields |= fields
    for name in _OWN_COLUMNS:
        if group.fields.pop(name, None) is not None:
            report.add(f"fields {name!r} of .json members, ignored for the column of that name", group.key, shard)
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
