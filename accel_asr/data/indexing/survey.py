"""Survey the recordings of a source, several at a time: their headers, and the samples of those that are decoded."""

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

from accel_asr.audio.decoding import AudioError, ByteRange, decode_native, probe, resampled, to_int16
from accel_asr.console.bars import progress_bar
from accel_asr.data.indexing.index import NO_FILE
from accel_asr.data.indexing.recordings import FileSignature, signature_of
from accel_asr.data.reading.rows import Audio, Row
from accel_asr.data.reading.saved_datasets import DatasetAudio
from accel_asr.data.reading.source_table import DatasetCell
from accel_asr.data.reading.time_cells import length_fault, lengths_agree
from accel_asr.files.content_hash import WHOLE_UP_TO_BYTES, hash_of, hash_of_file

FULL_SCALE = 32767 / 32768  # a clipped sample is at least this loud
_THREADS = 4  # soundfile releases the interpreter lock
_BAR_DELAY_S = 2.0
_SAMPLED = 32  # of each kind, before all recordings that may be cut already are read
_MOST_ODD = 0.02  # of recordings that are cut already


@dataclass(frozen=True, slots=True)
class SurveyedAudio:
    """What is known of the audio of one row.

    Args:
        content: A checksum of the encoded recording.
        loudness: (hash of the samples, peak, rms, share of clipped samples), once decoded.
        kept: (number of the first sample in the file of kept samples, how many, their checksum).
        missing_s: How much of its end is missing, too little to refuse it for.
    """

    size: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    content: int | None = None
    duration_s: float = math.nan
    sampling_rate_hz: int | None = None
    channels: int | None = None
    problem: str | None = None
    loudness: tuple[int, float, float, float] | None = None
    kept: tuple[int, int, int] | None = None
    missing_s: float = 0.0


class Survey:
    """Surveys recordings, several at a time."""

    def __init__(self, dataset_audio: DatasetAudio | None, *, sampling_rate_hz: int, channel: int | None) -> None:
        self.dataset_audio = dataset_audio
        self.sampling_rate_hz = sampling_rate_hz
        self.channel = channel
        self.samples_file: BinaryIO | None = None  # where decoded samples go, if they are kept
        self._writing = threading.Lock()
        self._contents: dict[tuple[Path, bool], int] = {}

    def over(
        self, inputs: Sequence[Any], examine: Callable[[Any], SurveyedAudio], *, title: str
    ) -> list[SurveyedAudio]:
        """`examine` each, in order, with a progress bar if that takes more than a moment."""
        results: list[SurveyedAudio] = []
        is_first = os.environ.get("RANK", "0") == "0"  # the others do the same
        bar = progress_bar(
            len(inputs),
            desc=title,
            unit="files",
            is_shown=is_first,
            result_on_stdout=True,
            delay=_BAR_DELAY_S,
            mininterval=1,
        )
        with bar:
            for result in _in_threads(examine, inputs):
                results.append(result)
                bar.update()
        return results

    def header(self, row: Row) -> SurveyedAudio:
        """What the header shows."""
        known = SurveyedAudio()
        if row.problem is not None:
            return SurveyedAudio(problem=row.problem)
        if isinstance(row.audio, Path) and (signature := file_signature(row.audio)) != NO_FILE:
            known = SurveyedAudio(*signature)
        try:
            audio = self._audio(row.audio)
            if isinstance(row.audio, DatasetCell) and isinstance(audio, bytes):
                known = SurveyedAudio(len(audio))
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

    def without_repeated_cuts(
        self, rows: Sequence[Row], surveyed: Sequence[SurveyedAudio], *, title: str
    ) -> tuple[list[Row], list[SurveyedAudio], list[str]]:
        """The rows, without segments if their recordings are cut to them already; and a notice of it.

        The times of such a table are those in longer recordings, which are missing: each file is as long as its
        segment. That is assumed only if it holds for all rows but a few, which can't be used, and if some times are
        beyond their files.
        """
        cut = [number for number, row in enumerate(rows) if row.start_s is not None and row.end_s is not None]
        doubtful = [number for number in cut if surveyed[number].problem is not None]
        others = [number for number in cut if surveyed[number].problem is None]
        new_rows, new_surveyed = list(rows), list(surveyed)
        used = 0
        for numbers in (doubtful[:_SAMPLED] + others[:_SAMPLED], cut) if doubtful else ():
            uncut = [replace(rows[number], start_s=None, end_s=None, stated_s=None) for number in numbers]
            headers = self.over(uncut, self.header, title=title)
            lengths_s = [(rows[number].end_s or 0) - (rows[number].start_s or 0) for number in numbers]
            readable = [place for place, header in enumerate(headers) if header.problem is None]
            odd = {place for place in readable if not lengths_agree(lengths_s[place], headers[place].duration_s)}
            if len(odd) > _MOST_ODD * len(readable):
                return list(rows), list(surveyed), []
            used = len(readable) - len(odd)
            for place in readable:
                new_rows[numbers[place]], new_surveyed[numbers[place]] = uncut[place], headers[place]
            for place in odd:
                fault = f"its segment has {lengths_s[place]:.2f} s, and the recording {headers[place].duration_s:.2f} s"
                new_surveyed[numbers[place]] = replace(surveyed[numbers[place]], problem=fault, duration_s=math.nan)
        if not used:
            return list(rows), list(surveyed), []
        notice = (
            f"{used:,} recordings are as long as their segments: they were cut already, and are used whole; their "
            "times are those in longer recordings"
        )
        return new_rows, new_surveyed, [notice]

    def content(self, row_and_header: tuple[Row, SurveyedAudio]) -> SurveyedAudio:
        """What the samples show, if the header could be read."""
        row, known = row_and_header
        if known.content is not None and self.samples_file is not None and isinstance(row.audio, Path):
            known = replace(known, content=self._content(row.audio, whole=True))  # it is read anyway
        if known.problem is not None:
            return known
        try:
            samples, rate_hz = decode_native(
                self._audio(row.audio), channel=self.channel, start_s=row.start_s, end_s=row.end_s
            )
            kept = self._keep(samples, rate_hz)
        except AudioError as error:
            return replace(known, problem=str(error), duration_s=math.nan, sampling_rate_hz=None, channels=None)
        size = np.abs(samples)
        loudness = (
            int.from_bytes(hashlib.blake2b(samples.tobytes(), digest_size=8).digest(), "little"),
            float(size.max()),
            float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))),
            float(np.mean(size >= FULL_SCALE)),
        )
        return replace(known, duration_s=len(samples) / rate_hz, loudness=loudness, kept=kept)

    def _content(self, audio: bytes | Path | ByteRange, *, whole: bool = False) -> int | None:
        """A checksum of an encoded recording; of a file larger than a clip only of parts, unless `whole`."""
        try:
            if isinstance(audio, Path):
                key = (audio, whole)  # many rows may be of one file
                if key not in self._contents:
                    most = math.inf if whole else WHOLE_UP_TO_BYTES
                    self._contents[key] = hash_of_file(audio, whole_up_to_bytes=most)
                return self._contents[key]
            return hash_of(audio.read() if isinstance(audio, ByteRange) else audio)
        except (OSError, ValueError):  # missing or unreadable: decoding it will report the fault
            return None

    def _keep(self, samples: np.ndarray, rate_hz: int) -> tuple[int, int, int] | None:
        """Write samples as batches need them; returns the first one's number in the file, their count and checksum."""
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


def _in_threads(examine: Callable[[Any], SurveyedAudio], inputs: Sequence[Any]) -> Iterator[SurveyedAudio]:
    """`examine` each, in order. A caller that stops waits for no thread: one may hang on a disk that is gone."""
    numbers = iter(range(len(inputs)))
    done: queue.SimpleQueue[tuple[int, SurveyedAudio | Exception]] = queue.SimpleQueue()
    is_stopped = threading.Event()

    def work() -> None:
        for number in numbers:
            try:
                outcome: SurveyedAudio | Exception = examine(inputs[number])
            except Exception as error:
                outcome = error
            done.put((number, outcome))
            if is_stopped.is_set():
                return

    for _ in range(min(_THREADS, len(inputs))):
        threading.Thread(target=work, name="survey", daemon=True).start()  # daemons do not delay the end of the process
    early: dict[int, SurveyedAudio | Exception] = {}
    try:
        for number in range(len(inputs)):
            while number not in early:
                finished, outcome = done.get()
                early[finished] = outcome
            result = early.pop(number)
            if isinstance(result, Exception):
                raise result
            yield result
    finally:
        is_stopped.set()


def file_signature(path: Path) -> FileSignature:
    """`signature_of` a file, with a size of 0 for a folder; NO_FILE if it is missing."""
    try:
        size, mtime_ns, ctime_ns = signature_of(path.stat())
    except (OSError, ValueError):  # a name that no file can have
        return NO_FILE
    return (0 if path.is_dir() else size), mtime_ns, ctime_ns
