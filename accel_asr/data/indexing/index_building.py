"""Build the index of a source, or open the one from an earlier run."""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64, xxh3_64_hexdigest

from accel_asr.audio.decoding import ByteRange
from accel_asr.console.public_text import public
from accel_asr.data.indexing.index import AUDIO_FILE, BATCH_ROWS, FACTS_FILE, INDEX_FILE, SAMPLES_FILE, SCHEMA, Index
from accel_asr.data.indexing.survey import Survey, SurveyedAudio, file_signature
from accel_asr.data.reading.local_sources import audio_may_stay_outside
from accel_asr.data.reading.rows import Row
from accel_asr.data.reading.shard_names import is_shard_pattern
from accel_asr.data.reading.source_table import DatasetCell, first_few
from accel_asr.data.reading.sources import Source, SourceName, read_source
from accel_asr.data.reading.table_files import is_table_pattern
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import WRITING, folder_written_whole
from accel_asr.files.cache_folder import cache_errors_explained, cache_locked, make_cache_folder
from accel_asr.files.content_hash import hash_of_file

FORMAT = 8  # an index of another format is rebuilt
DECODED_UP_FRONT_S = 2 * 3600  # sets of at most two hours are decoded while they are indexed: it takes seconds
LEAST_S = 0.01  # a column of Whisper's spectrogram: less is not worth a notice
READ_AT_ONCE_BYTES = 1 << 28  # of the audio that an index holds; above, only parts of it are checked
SAMPLED_FILES = 1_000  # audio files that are checked to see whether an index is still valid


def open_index(
    name: SourceName,
    *,
    cache_dir: Path,
    sampling_rate_hz: int,
    channel: int | None = None,
    decode_all: bool = False,
    read: Callable[[], Source] | None = None,
    purpose: str = "",
) -> tuple[Index, list[str]]:
    """The index of a source, from the cache if it is still valid, else built; and notices for the user.

    All processes of a run may call this at once: the first one builds, and the others wait for its lock, not in a
    collective.

    Args:
        sampling_rate_hz: Of the samples that are kept for a small set.
        channel: As for `decode`: a recording without it can't be used.
        decode_all: Decode every recording while indexing, however many there are.
        read: Replaces `read_source`; `purpose` then says what its rows are, in a few words.

    Raises:
        UserError: as `read_source` raises; or the cache can't be written.
    """
    home = cache_dir / "index" / _identity(name, sampling_rate_hz=sampling_rate_hz, channel=channel, purpose=purpose)
    make_cache_folder(home, cache_dir=cache_dir)
    with (
        cache_errors_explained(cache_dir),
        cache_locked(home / "lock", work=f"the index of {public(name.name_or_path)}"),
    ):
        source = None if read else _read_what_stays_outside(name, cache_dir=cache_dir)
        warm, damaged = _newest_valid(home, source, decode_all=decode_all)
        if warm is not None:
            return warm, [*damaged, *warm.facts["notices"]]
        if source is None:
            source = read() if read else read_source(name, cache_dir=cache_dir)
        index = _build(
            source,
            home,
            sampling_rate_hz=sampling_rate_hz,
            channel=channel,
            decode_all=decode_all,
            title=public(name.name_or_path),
        )
        for old in _versions(home)[:-2]:  # a running process may still read the previous one
            shutil.rmtree(old, ignore_errors=True)
    return index, [*damaged, *index.facts["notices"]]


def _identity(name: SourceName, *, sampling_rate_hz: int, channel: int | None, purpose: str) -> str:
    """A folder name for a source and its settings, whether or not the index in it is still valid."""
    path = name.local_path
    settings = {
        **asdict(name),
        "name_or_path": os.path.realpath(path) if path else _absolute(name.name_or_path),
        "sampling_rate_hz": sampling_rate_hz,
        "channel": channel,
        "purpose": purpose,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]
    label = "".join(c if c.isalnum() else "-" for c in Path(public(str(settings["name_or_path"])).rstrip("/")).name)[
        :40
    ]
    return f"{label}-{digest}"


def _absolute(name: str) -> str:
    """A pattern of local files as an absolute one: elsewhere, it would match other files."""
    is_pattern = is_shard_pattern(name) or is_table_pattern(name)
    return os.path.abspath(name) if is_pattern and "://" not in name else name


def _read_what_stays_outside(name: SourceName, *, cache_dir: Path) -> Source | None:
    """A source whose audio stays in a dataset, which is opened in any case; None for others, read only to build."""
    is_local = name.local_path is not None or is_table_pattern(name.name_or_path)
    stays_outside = (
        audio_may_stay_outside(str(name.local_path or name.name_or_path))
        if is_local
        else not is_shard_pattern(name.name_or_path)
    )
    return read_source(name, cache_dir=cache_dir) if stays_outside else None


def _versions(home: Path) -> list[Path]:
    """Complete indexes, oldest first: their names are times."""
    return sorted(path.parent for path in home.glob(f"[0-9]*/{FACTS_FILE}"))


def _newest_valid(home: Path, source: Source | None, *, decode_all: bool) -> tuple[Index | None, list[str]]:
    """The newest valid index, of an opened source one built from the same files; and a notice of each damaged one.

    A Hub dataset that has changed lies in other files, and its old ones are still there.
    """
    expected = [os.path.abspath(path) for path in source.dependencies] if source else None
    damaged: list[str] = []
    for folder in reversed(_versions(home)):
        try:
            facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
            if facts["format"] != FORMAT:
                continue
            if facts["digests"] != _digests(folder, facts):
                raise ValueError("not what was written")
            if decode_all and not facts["decoded"]:
                continue
            index = Index(folder, source.dataset_audio if source else None)
            unchanged = all(file_signature(Path(path)) == tuple(signature) for path, signature in facts["dependencies"])
            same_source = expected is None or expected == [path for path, _ in facts["dependencies"]]
            if unchanged and same_source and _same_files(index):
                return index, damaged
        except (OSError, ValueError, KeyError, TypeError, RecursionError, pa.ArrowException):
            damaged.append(f"the index in {str(folder)!r} is damaged, and is built anew")
    return None, damaged


def _digests(folder: Path, facts: Mapping[str, Any]) -> dict[str, int | str]:
    """Checksums of the files of an index, and of `facts`. Audio is checked again when it is read."""
    own = {name: value for name, value in facts.items() if name != "digests"}
    names = [INDEX_FILE, *([SAMPLES_FILE] if facts["keeps_samples"] else [])]
    return {
        **{name: hash_of_file(folder / name, whole_up_to_bytes=math.inf) for name in names},
        AUDIO_FILE: hash_of_file(folder / AUDIO_FILE, whole_up_to_bytes=READ_AT_ONCE_BYTES),
        FACTS_FILE: xxh3_64_hexdigest(json.dumps(own, sort_keys=True).encode()),
    }


def _same_files(index: Index) -> bool:
    """Whether a sample of the audio files, and each unreadable one, are unchanged."""
    sampled = len(index) if index.facts["keeps_samples"] else SAMPLED_FILES
    rows = set(np.linspace(0, len(index) - 1, min(sampled, len(index)), dtype=np.int64).tolist())
    rows.update(np.flatnonzero(np.isnan(index.durations_s))[:SAMPLED_FILES].tolist())
    for row in rows:
        audio = index[row].audio
        if isinstance(audio, Path) and file_signature(audio) != index.file_signature(row):
            return False
    return True


def _build(
    source: Source, home: Path, *, sampling_rate_hz: int, channel: int | None, decode_all: bool, title: str
) -> Index:
    """Survey every recording, and write the index, complete or not at all."""
    # now, not after decoding: a change meanwhile must be noticed the next time
    dependencies = [[os.path.abspath(path), file_signature(path)] for path in source.dependencies]
    folder = home / f"{time.time_ns():020d}"
    for half_written in home.glob(f".*{WRITING}"):  # by a process that was killed: this one has the lock
        shutil.rmtree(half_written, ignore_errors=True)
    with folder_written_whole(folder) as writing:
        survey = Survey(source.dataset_audio, sampling_rate_hz=sampling_rate_hz, channel=channel)
        surveyed = survey.over(source.rows, survey.header, title=f"index {title}")
        rows, surveyed, cut_notices = survey.without_repeated_cuts(source.rows, surveyed, title=f"index {title}")
        is_small = sum(audio.duration_s for audio in surveyed if audio.problem is None) <= DECODED_UP_FRONT_S
        if is_small or decode_all:
            with (writing / SAMPLES_FILE).open("wb") as samples_file:
                survey.samples_file = samples_file if is_small else None
                surveyed = survey.over(list(zip(rows, surveyed, strict=True)), survey.content, title=f"decode {title}")
        checksum = _write_rows(rows, surveyed, writing)
        facts = {
            **source.facts,
            "format": FORMAT,
            "rows": len(rows),
            "decoded": is_small or decode_all,
            "keeps_samples": is_small,
            "checksum": checksum,
            "notices": [public(notice) for notice in (*source.notices, *cut_notices, *_shortened(rows, surveyed))],
            "dependencies": dependencies,
        }
        facts["digests"] = _digests(writing, facts)
        (writing / FACTS_FILE).write_text(json.dumps(facts), encoding="utf-8")
    return Index(folder, source.dataset_audio)


def _shortened(rows: Sequence[Row], surveyed: Sequence[SurveyedAudio]) -> list[str]:
    """A notice of recordings that are kept although a little of their end is missing."""
    missing_s = {
        row.utterance_id: audio.missing_s
        for row, audio in zip(rows, surveyed, strict=True)
        if audio.missing_s > LEAST_S
    }
    if not missing_s:
        return []
    which = f"{len(missing_s):,} ({first_few(list(missing_s))})"
    most_s = max(missing_s.values())
    return [f"recordings that end up to {most_s:.3f} s before their headers say, used as they are: {which}"]


def _write_rows(rows: Sequence[Row], surveyed: Sequence[SurveyedAudio], folder: Path) -> int:
    """Write the rows and the audio that they hold; returns a checksum of everything that training depends on."""
    checksum = xxh3_64()
    with (
        (folder / AUDIO_FILE).open("wb") as audio_file,
        pa.OSFile(str(folder / INDEX_FILE), "wb") as file,
        pa.ipc.new_file(file, SCHEMA) as writer,
    ):
        for first in range(0, len(rows), BATCH_ROWS):
            records = []
            batch = slice(first, first + BATCH_ROWS)
            for row, audio in zip(rows[batch], surveyed[batch], strict=True):
                record = _record(row, audio)
                if isinstance(row.audio, bytes):
                    record["offset"], record["size"] = audio_file.tell(), len(row.audio)
                    audio_file.write(row.audio)
                identity = (row.utterance_id, row.text, row.start_s, row.end_s, record["size"], audio.content)
                checksum.update(repr((*identity, row.language, row.task, row.prompt)).encode())
                records.append(record)
            try:
                writer.write_batch(pa.RecordBatch.from_pylist(records, schema=SCHEMA))
            except UnicodeEncodeError as error:
                raise UserError(
                    _not_unicode(records), setting="--data.name_or_path", remedy="write the whole character"
                ) from error
    return checksum.intdigest()


def _not_unicode(records: Sequence[dict[str, Any]]) -> str:
    """The first row with half of a surrogate pair, which JSON's escapes can spell."""
    for record in records:
        for name, value in record.items():
            for text in value if isinstance(value, list | tuple) else [value]:
                if isinstance(text, str) and text != text.encode(errors="replace").decode():
                    return f"the {name} of row {record['utterance_id']!a} is not Unicode text ({text!a})"
    raise AssertionError("all is Unicode")


def _record(row: Row, surveyed: SurveyedAudio) -> dict[str, Any]:
    audio = row.audio
    record: dict[str, Any] = {
        "utterance_id": row.utterance_id,
        "path": None,
        "offset": None,
        "size": surveyed.size,
        "mtime_ns": surveyed.mtime_ns,
        "ctime_ns": surveyed.ctime_ns,
        "content": surveyed.content,
        "dataset_row": None,
    }
    if isinstance(audio, Path):
        record["path"] = os.fsencode(os.path.abspath(audio))
    elif isinstance(audio, ByteRange):
        record |= {"path": os.fsencode(os.path.abspath(audio.path)), "offset": audio.offset, "size": audio.size}
    elif isinstance(audio, DatasetCell):
        record["dataset_row"] = audio.row
    for name in ("start_s", "end_s", "text", "group", "speaker", "language", "task", "prompt"):
        record[name] = getattr(row, name)
    record["breakdown"] = list(row.breakdown) or None
    for name in ("duration_s", "sampling_rate_hz", "channels", "problem"):
        record[name] = getattr(surveyed, name)
    record["first_sample"], record["num_samples"], record["samples_hash"] = surveyed.kept or (None,) * 3
    loudness = surveyed.loudness or (None,) * 4
    return record | dict(zip(("audio_hash", "peak", "rms", "clipped"), loudness, strict=True))
