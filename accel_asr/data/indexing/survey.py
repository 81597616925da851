"""Look at the recordings of a source, several at a time: their headers, and the samples of those that are decoded."""

import hashlib
import math
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from accel_asr.audio.byte_ranges import ByteRange, DatasetCell
from accel_asr.audio.decoding import AudioError, decode_native, probe, resampled, to_int16
from accel_asr.console.bars import progress_bar
from accel_asr.data.indexing.index import NO_FILE
from accel_asr.data.indexing.recordings import FileSignature, signature_of
from accel_asr.data.reading.rows import Audio, Row
from accel_asr.data.reading.saved_datasets import DatasetAudio
from accel_asr.data.reading.time_cells import length_fault, lengths_agree
from accel_asr.files.content_hash import WHOLE_UP_TO_BYTES, hash_of, hash_of_file

FULL_SCALE = 32767 / 32768  # what a sample is at least when it was cut off
_THREADS = 4  # soundfile releases the interpreter lock
_BAR_DELAY_S = 2.0
_SAMPLED = 32
_MOST_ODD = 0.02  # of recordings that were cut already


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of the audio of one row. `heard` is (hash, peak, rms, share of clipped samples), once decoded.

    `kept` are the first and the number of its samples in the file of those, and their checksum. `content` is a
    checksum of the encoded recording. `missing_s` is how much of its end is missing, too little to refuse it for.
    """

    size: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    content: int | None = None
    duration_s: float = float("nan")
    sampling_rate_hz: int | None = None
    channels: int | None = None
    problem: str | None = None
    heard: tuple[int, float, float, float] | None = None
    kept: tuple[int, int, int] | None = None
    missing_s: float = 0.0


class Survey:
    """Looks at recordings, several at a time."""

    def __init__(self, dataset_audio: DatasetAudio | None, *, sampling_rate_hz: int, channel: int | None) -> None:
        self.dataset_audio = dataset_audio
        self.sampling_rate_hz = sampling_rate_hz
        self.channel = channel
        self.samples_file: BinaryIO | None = None  # where decoded samples are kept, if they are
        self._writing = threading.Lock()
        self._contents: dict[tuple[Path, bool], int] = {}

    def over(self, things: Sequence[Any], look: Callable[[Any], Heard], *, title: str) -> list[Heard]:
        """`look` at each, in order, with a progress bar where that takes more than a moment."""
        found: list[Heard] = []
        is_first = os.environ.get("RANK", "0") == "0"  # the others read the same
        bar = progress_bar(
            len(things),
            desc=title,
            unit="files",
            is_shown=is_first,
            result_on_stdout=True,
            delay=_BAR_DELAY_S,
            mininterval=1,
        )
        with bar:
            for one in _in_threads(look, things):
                found.append(one)
                bar.update()
        return found

    def header(self, row: Row) -> Heard:
        """What the header says."""
        known = Heard()
        if row.problem is not None:
            return Heard(problem=row.problem)
        if isinstance(row.audio, Path) and (signature := file_signature(row.audio)) != NO_FILE:
            known = Heard(*signature)
        try:
            audio = self._audio(row.audio)
            if isinstance(row.audio, DatasetCell) and isinstance(audio, bytes):
                known = Heard(len(audio))
            known = replace(known, content=self._content(audio))
            info = probe(audio, start_s=row.start_s, end_s=row.end_s, channel=self.channel)
        except AudioError as error:
            return replace(known, problem=str(error))
        if row.start_s is None and row.end_s is None:
            fault = length_fault(row.stated_s, info.duration_s, sampling_rate_hz=info.sampling_rate_hz)
            if fault is not None:
                return replace(known, problem=fault)
        return replace(
            known,
            duration_s=info.duration_s,
            sampling_rate_hz=info.sampling_rate_hz,
            channels=info.channels,
            missing_s=info.missing_s,
        )

    def whole_where_cut(
        self, rows: Sequence[Row], found: Sequence[Heard], *, title: str
    ) -> tuple[list[Row], list[Heard], list[str]]:
        """Rows of recordings that were cut to their segments already, as whole files; and a notice of it.

        The times of such a table are those in a longer recording, which is not there: each file is as long as its
        segment. That is believed only where it holds for all rows but a few, which can't be used, and where some times
        can't be in their files.
        """
        cut = [number for number, row in enumerate(rows) if row.start_s is not None and row.end_s is not None]
        doubtful = [number for number in cut if found[number].problem is not None]
        others = [number for number in cut if found[number].problem is None]
        whole_rows, whole_found = list(rows), list(found)
        used = 0
        for numbers in (doubtful[:_SAMPLED] + others[:_SAMPLED], cut) if doubtful else ():
            wholes = [replace(rows[number], start_s=None, end_s=None, stated_s=None) for number in numbers]
            heard = self.over(wholes, self.header, title=title)
            lengths = [(rows[number].end_s or 0) - (rows[number].start_s or 0) for number in numbers]
            readable = [place for place, one in enumerate(heard) if one.problem is None]
            odd = {place for place in readable if not lengths_agree(lengths[place], heard[place].duration_s)}
            if len(odd) > _MOST_ODD * len(readable):
                return list(rows), list(found), []
            used = len(readable) - len(odd)
            for place in readable:
                whole_rows[numbers[place]], whole_found[numbers[place]] = wholes[place], heard[place]
            for place in odd:
                told = f"its segment has {lengths[place]:.2f} s, and the recording {heard[place].duration_s:.2f} s"
                whole_found[numbers[place]] = replace(found[numbers[place]], problem=told, duration_s=float("nan"))
        if not used:
            return list(rows), list(found), []
        notice = (
            f"{used:,} recordings are as long as their segments: they were cut already, and are used whole; their "
            "times are those in longer recordings"
        )
        return whole_rows, whole_found, [notice]

    def content(self, row_and_found: tuple[Row, Heard]) -> Heard:
        """What the samples say, where the header could be read."""
        row, found = row_and_found
        if found.content is not None and self.samples_file is not None and isinstance(row.audio, Path):
            found = replace(found, content=self._content(row.audio, whole=True))  # it is read anyway
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

    def _content(self, audio: bytes | Path | ByteRange, *, whole: bool = False) -> int | None:
        """A checksum of an encoded recording; of a file larger than a clip, of parts of it unless `whole`."""
        try:
            if isinstance(audio, Path):
                key = (audio, whole)  # many rows may be of one file
                if key not in self._contents:
                    most = math.inf if whole else WHOLE_UP_TO_BYTES
                    self._contents[key] = hash_of_file(audio, whole_up_to_bytes=most)
                return self._contents[key]
            return hash_of(audio.read() if isinstance(audio, ByteRange) else audio)
        except (OSError, ValueError):  # no file, or none that can be read: what is wrong is said by who decodes it
            return None

    def _keep(self, samples: np.ndarray, rate_hz: int) -> tuple[int, int, int] | None:
        """Write the samples as a batch will want them; returns the first one's number in the file, how many they are,
        and their checksum."""
        wanted = to_int16(resampled(samples, rate_hz, self.sampling_rate_hz))
        if self.samples_file is None:
            return None
        with self._writing:
            first = self.samples_file.tell() // wanted.itemsize
            self.samples_file.write(wanted.tobytes())
        return first, len(wanted), hash_of(wanted)

    def _audio(self, audio: Audio | None) -> bytes | Path | ByteRange:
        if isinstance(audio, DatasetCell):
            assert self.dataset_audio is not None
            return self.dataset_audio.get(audio.row)
        if audio is None:
            raise AudioError("the row holds no audio")
        return audio


def _in_threads(look: Callable[[Any], Heard], things: Sequence[Any]) -> Iterator[Heard]:
    """`look` at each, in order. Whoever leaves off waits for no thread: one may hang on a disk that is gone."""
    numbers = iter(range(len(things)))
    done: queue.SimpleQueue[tuple[int, Heard | Exception]] = queue.SimpleQueue()
    is_left = threading.Event()

    def work() -> None:
        for number in numbers:
            try:
                outcome: Heard | Exception = look(things[number])
            except Exception as error:
                outcome = error
            done.put((number, outcome))
            if is_left.is_set():
                return

    for _ in range(min(_THREADS, len(things))):
        threading.Thread(target=work, name="survey", daemon=True).start()  # the end of the process waits for no daemon
    early: dict[int, Heard | Exception] = {}
    try:
        for number in range(len(things)):
            while number not in early:
                came, outcome = done.get()
                early[came] = outcome
            found = early.pop(number)
            if isinstance(found, Exception):
                raise found
            yield found
    finally:
        is_left.set()


def file_signature(path: Path) -> FileSignature:
    """`signature_of` a file, with a size of 0 for a folder; NO_FILE for nothing."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # no file can have such a name
        return NO_FILE
    size, mtime_ns, ctime_ns = signature_of(found)
    return (0 if path.is_dir() else size), mtime_ns, ctime_ns
