"""Build the index of a source, or open the one that an earlier run built."""

import hashlib
import json
import os
import shutil
import sys
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from filelock import FileLock
from tqdm.auto import tqdm

from accel_asr.data.decoding.audio import AudioError, decode_native, probe, resampled, to_int16
from accel_asr.data.indexing.cache_folder import cache_errors_explained
from accel_asr.data.indexing.index import (
    AUDIO_FILE,
    BATCH_ROWS,
    FACTS_FILE,
    INDEX_FILE,
    NO_FILE,
    SAMPLES_FILE,
    SCHEMA,
    Index,
)
from accel_asr.data.reading.byte_ranges import ByteRange
from accel_asr.data.reading.rows import Audio, DatasetCell, Row
from accel_asr.data.reading.saved_datasets import DatasetAudio
from accel_asr.data.reading.sources import Source, SourceName, read_source
from accel_asr.errors import UserError

FORMAT = 2  # of an index; one of another format is built anew
DECODED_UP_FRONT_S = 2 * 3600  # sets of at most two hours are decoded whole while they are indexed: it takes seconds
SAMPLED_FILES = 1_000  # so many audio files are looked at to tell whether an index is still true
FULL_SCALE = 32767 / 32768  # what a sample is at least when it was cut off
_THREADS = 4  # soundfile releases the interpreter lock
_CHUNK_ROWS = 8_192
_BAR_DELAY_S = 2.0


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of the audio of one row. `heard` is (hash, peak, rms, share of clipped samples), once decoded.

    `kept` are the first and the number of its samples in the file of those. `content` is a checksum of audio that
    stays in a dataset.
    """

    size: int | None = None
    mtime_ns: int | None = None
    content: int | None = None
    duration_s: float = float("nan")
    sampling_rate_hz: int | None = None
    channels: int | None = None
    problem: str | None = None
    heard: tuple[int, float, float, float] | None = None
    kept: tuple[int, int] | None = None


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
    """The index of a source, from the cache if it is still true, else built; and notices for the user.

    The processes of a run may all call this at once: the first one builds, and the others wait for it, at no
    collective.

    Args:
        sampling_rate_hz: Of the samples that are kept of a small set.
        channel: As for `decode`: a recording without it can't be used.
        decode_all: Decode every recording while indexing, however many there are.
        read: Called for the rows in place of `read_source`; `purpose` then says what they are, in a few words.

    Raises:
        UserError: as `read_source` raises; or the cache can't be written.
    """
    home = cache_dir / "index" / _identity(name, sampling_rate_hz=sampling_rate_hz, channel=channel, purpose=purpose)
    with cache_errors_explained(cache_dir):
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(str(home / "lock")):
            source = None if read else _read_what_stays_outside(name, cache_dir=cache_dir)
            warm = _newest_true(home, source, decode_all=decode_all)
            if warm is not None:
                return warm, list(warm.facts["notices"])
            if source is None:
                source = read() if read else read_source(name, cache_dir=cache_dir)
            index = _build(
                source,
                home,
                sampling_rate_hz=sampling_rate_hz,
                channel=channel,
                decode_all=decode_all,
                title=name.name_or_path,
            )
            for old in _versions(home)[:-2]:  # a run that goes on may still read the one before
                shutil.rmtree(old, ignore_errors=True)
    return index, list(index.facts["notices"])


def _identity(name: SourceName, *, sampling_rate_hz: int, channel: int | None, purpose: str) -> str:
    """A folder name for what is asked for; whether it is still true is another question."""
    path = name.local_path
    asked = {
        **asdict(name),
        "name_or_path": os.path.realpath(path) if path else name.name_or_path,
        "sampling_rate_hz": sampling_rate_hz,
        "channel": channel,
        "purpose": purpose,
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:24]
    label = "".join(c if c.isalnum() else "-" for c in Path(str(asked["name_or_path"]).rstrip("/")).name)[:40]
    return f"{label}-{digest}"


def _read_what_stays_outside(name: SourceName, *, cache_dir: Path) -> Source | None:
    """Sources whose audio stays in a dataset are opened in any case; the others only to build."""
    from accel_asr.data.reading.saved_datasets import is_saved_dataset
    from accel_asr.data.reading.tar_shards import is_shard_pattern

    path = name.local_path
    stays_outside = is_saved_dataset(path) if path else not is_shard_pattern(name.name_or_path)
    return read_source(name, cache_dir=cache_dir) if stays_outside else None


def _versions(home: Path) -> list[Path]:
    """Complete indexes, oldest first: their names are times."""
    return sorted(path.parent for path in home.glob(f"[0-9]*/{FACTS_FILE}"))


def _newest_true(home: Path, source: Source | None, *, decode_all: bool) -> Index | None:
    """The newest index that is true; of a source that was opened, one that was built from the very same files.

    A dataset of the Hub that has changed lies in other files, and those that it lay in before are still there.
    """
    expected = [os.path.abspath(path) for path in source.dependencies] if source else None
    for folder in reversed(_versions(home)):
        try:
            index = Index(folder, source.dataset_audio if source else None)
            facts = index.facts
            if facts["format"] != FORMAT or facts["sizes"] != _sizes(folder) or (decode_all and not facts["decoded"]):
                continue
            unchanged = all(_signature(Path(path)) == tuple(said) for path, said in facts["dependencies"])
            same_source = expected is None or expected == [path for path, _ in facts["dependencies"]]
            if unchanged and same_source and _same_files(index):
                return index
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):  # torn by a crash, or of another time
            continue
    return None


def _sizes(folder: Path) -> dict[str, int]:
    """Of the large files of an index: a crash of the machine may cut them."""
    return {name: (folder / name).stat().st_size for name in (INDEX_FILE, AUDIO_FILE)}


def _signature(path: Path) -> tuple[int, int]:
    """(size, time of the last change in ns) of a file, (0, time) of a folder; NO_FILE for nothing."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # no file can have such a name
        return NO_FILE
    return (0 if path.is_dir() else found.st_size), found.st_mtime_ns


def _same_files(index: Index) -> bool:
    """Whether a sample of the audio files, and each that could not be read, are as they were."""
    sampled = len(index) if index.facts["keeps_samples"] else SAMPLED_FILES
    rows = set(np.linspace(0, len(index) - 1, min(sampled, len(index)), dtype=np.int64).tolist())
    rows.update(np.flatnonzero(np.isnan(index.durations_s))[:SAMPLED_FILES].tolist())
    for row in rows:
        audio = index[row].audio
        if isinstance(audio, Path) and _signature(audio) != index.file_signature(row):
            return False
    return True


def _build(
    source: Source, home: Path, *, sampling_rate_hz: int, channel: int | None, decode_all: bool, title: str
) -> Index:
    """Look at every recording, and write the index: complete or absent."""
    # now, and not when all is decoded: what is changed meanwhile must be seen the next time
    dependencies = [[os.path.abspath(path), _signature(path)] for path in source.dependencies]
    folder = home / f"{time.time_ns():020d}"
    for left in home.glob("writing-*"):  # by a process that was killed: this one has the lock
        shutil.rmtree(left, ignore_errors=True)
    writing = home / f"writing-{os.getpid()}"
    writing.mkdir()
    try:
        look = _Looker(source.dataset_audio, sampling_rate_hz=sampling_rate_hz, channel=channel)
        found = look.over(source.rows, look.header, title=f"index {title}")
        is_small = sum(one.duration_s for one in found if one.problem is None) <= DECODED_UP_FRONT_S
        if is_small or decode_all:
            with (writing / SAMPLES_FILE).open("wb") as samples_file:
                look.samples_file = samples_file if is_small else None
                found = look.over(list(zip(source.rows, found, strict=True)), look.content, title=f"decode {title}")
        checksum = _write_rows(source.rows, found, writing)
        facts = {
            **source.facts,
            "format": FORMAT,
            "rows": len(source.rows),
            "decoded": is_small or decode_all,
            "keeps_samples": is_small,
            "checksum": checksum,
            "sizes": _sizes(writing),
            "notices": source.notices,
            "dependencies": dependencies,
        }
        (writing / FACTS_FILE).write_text(json.dumps(facts), encoding="utf-8")
        writing.rename(folder)
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    return Index(folder, source.dataset_audio)


class _Looker:
    """Looks at recordings, several at a time."""

    def __init__(self, dataset_audio: DatasetAudio | None, *, sampling_rate_hz: int, channel: int | None) -> None:
        self.dataset_audio = dataset_audio
        self.sampling_rate_hz = sampling_rate_hz
        self.channel = channel
        self.samples_file: BinaryIO | None = None  # where decoded samples are kept, if they are
        self._writing = threading.Lock()

    def over(self, things: Sequence[Any], look: Callable[[Any], _Found], *, title: str) -> list[_Found]:
        """`look` at each, in order, with a progress bar where that takes more than a moment."""
        found: list[_Found] = []
        bar = tqdm(
            total=len(things), desc=title, unit="file", delay=_BAR_DELAY_S, leave=False, file=sys.stderr, mininterval=1
        )
        with bar, ThreadPoolExecutor(_THREADS) as pool:
            for first in range(0, len(things), _CHUNK_ROWS):  # a future for each of a million rows would be too much
                for one in pool.map(look, things[first : first + _CHUNK_ROWS]):
                    found.append(one)
                    bar.update()
        return found

    def header(self, row: Row) -> _Found:
        """What the header says."""
        known = _Found()
        if isinstance(row.audio, Path) and (signature := _signature(row.audio)) != NO_FILE:
            known = _Found(*signature)
        try:
            audio = self._audio(row.audio)
            if isinstance(row.audio, DatasetCell) and isinstance(audio, bytes):
                known = _Found(len(audio), content=zlib.crc32(audio))
            info = probe(audio, start_s=row.start_s, end_s=row.end_s, channel=self.channel)
        except AudioError as error:
            return replace(known, problem=str(error))
        return replace(
            known, duration_s=info.duration_s, sampling_rate_hz=info.sampling_rate_hz, channels=info.channels
        )

    def content(self, row_and_found: tuple[Row, _Found]) -> _Found:
        """What the samples say, where the header could be read."""
        row, found = row_and_found
        if found.problem is not None:
            return found
        try:
            samples, rate_hz = decode_native(
                self._audio(row.audio), channel=self.channel, start_s=row.start_s, end_s=row.end_s
            )
            kept = self._keep(samples, rate_hz)
        except AudioError as error:
            return replace(found, problem=str(error), duration_s=float("nan"), sampling_rate_hz=None, channels=None)
        size = np.abs(samples)
        heard = (
            int.from_bytes(hashlib.blake2b(samples.tobytes(), digest_size=8).digest(), "little"),
            float(size.max()),
            float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))),
            float(np.mean(size >= FULL_SCALE)),
        )
        return replace(found, duration_s=len(samples) / rate_hz, heard=heard, kept=kept)

    def _keep(self, samples: np.ndarray, rate_hz: int) -> tuple[int, int] | None:
        """Write the samples as a batch will want them; returns the first one's number in the file, and how many."""
        wanted = to_int16(resampled(samples, rate_hz, self.sampling_rate_hz))
        if self.samples_file is None:
            return None
        with self._writing:
            first = self.samples_file.tell() // wanted.itemsize
            self.samples_file.write(wanted.tobytes())
        return first, len(wanted)

    def _audio(self, audio: Audio | None) -> bytes | Path | ByteRange:
        if isinstance(audio, DatasetCell):
            assert self.dataset_audio is not None
            return self.dataset_audio.get(audio.row)
        if audio is None:
            raise AudioError("the row holds no audio")
        return audio


def _write_rows(rows: Sequence[Row], found: Sequence[_Found], folder: Path) -> int:
    """Write the rows, and the audio that they hold themselves; returns a checksum of what a training run depends on."""
    checksum = 0
    with (
        (folder / AUDIO_FILE).open("wb") as audio_file,
        pa.OSFile(str(folder / INDEX_FILE), "wb") as file,
        pa.ipc.new_file(file, SCHEMA) as writer,
    ):
        for first in range(0, len(rows), BATCH_ROWS):
            records = []
            for row, one in zip(rows[first : first + BATCH_ROWS], found[first : first + BATCH_ROWS], strict=True):
                record = _record(row, one)
                if isinstance(row.audio, bytes):
                    record["offset"], record["size"] = audio_file.tell(), len(row.audio)
                    audio_file.write(row.audio)
                    checksum = zlib.crc32(row.audio, checksum)
                said = (row.utterance_id, row.text, row.start_s, row.end_s, record["size"])
                checksum = zlib.crc32(repr((*said, row.language, row.task, row.prompt)).encode(), checksum)
                if one.content is not None:
                    checksum = zlib.crc32(repr(one.content).encode(), checksum)
                records.append(record)
            try:
                writer.write_batch(pa.RecordBatch.from_pylist(records, schema=SCHEMA))
            except UnicodeEncodeError as error:
                raise UserError(f"data.name_or_path: {_not_unicode(records)}; mend the source") from error
    return checksum


def _not_unicode(records: Sequence[dict[str, Any]]) -> str:
    """Which row holds half of a surrogate pair, as JSON's escapes can spell it."""
    for record in records:
        for name, value in record.items():
            if isinstance(value, str) and value != value.encode(errors="replace").decode():
                return f"the {name} of row {record['utterance_id']!a} is not Unicode text ({value!a})"
    raise AssertionError("all is Unicode")


def _record(row: Row, found: _Found) -> dict[str, Any]:
    audio = row.audio
    record = {
        "utterance_id": row.utterance_id,
        "path": None,
        "offset": None,
        "size": found.size,
        "mtime_ns": found.mtime_ns,
        "dataset_row": None,
    }
    if isinstance(audio, Path):
        record["path"] = os.path.abspath(audio)
    elif isinstance(audio, ByteRange):
        record |= {"path": os.path.abspath(audio.path), "offset": audio.offset, "size": audio.size}
    elif isinstance(audio, DatasetCell):
        record["dataset_row"] = audio.row
    for name in ("start_s", "end_s", "text", "group", "language", "task", "prompt"):
        record[name] = getattr(row, name)
    for name in ("duration_s", "sampling_rate_hz", "channels", "problem"):
        record[name] = getattr(found, name)
    record["first_sample"], record["num_samples"] = found.kept or (None, None)
    heard = found.heard or (None,) * 4
    return record | dict(zip(("audio_hash", "peak", "rms", "clipped"), heard, strict=True))
