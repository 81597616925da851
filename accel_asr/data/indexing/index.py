"""The index of a source: its rows and the contents of their headers, on disk and mapped into memory, at any size.

A warm index is opened in milliseconds, and rebuilt when a file that it was read from has changed. `datasets` does not
notice that a recording of a manifest has changed, and keeps neither durations nor faults.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from accel_asr.audio.decoding import ByteRange
from accel_asr.data.indexing.recordings import FileSignature, KeptSamples
from accel_asr.data.reading.rows import Audio
from accel_asr.data.reading.saved_datasets import DatasetAudio
from accel_asr.data.reading.source_table import DatasetCell

BATCH_ROWS = 65_536
INDEX_FILE, FACTS_FILE, AUDIO_FILE, SAMPLES_FILE = "rows.arrow", "index.json", "audio.bin", "samples.i16"
NO_FILE = (-1, -1, -1)  # size and times of a missing file
SCHEMA = pa.schema(
    [
        ("utterance_id", pa.string()),
        # of the file that holds the audio, as the system spells it, perhaps not UTF-8; null if another place holds it
        ("path", pa.binary()),
        ("offset", pa.int64()),  # null if the file is the recording
        ("size", pa.int64()),  # bytes
        ("mtime_ns", pa.int64()),
        ("ctime_ns", pa.int64()),
        ("content", pa.uint64()),  # `hash_of` the encoded recording; null if there is none
        ("dataset_row", pa.int64()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("text", pa.string()),
        ("group", pa.string()),
        ("speaker", pa.string()),
        ("language", pa.string()),
        ("task", pa.string()),
        ("prompt", pa.string()),
        ("breakdown", pa.list_(pa.string())),  # cells of the breakdown columns, in order
        ("duration_s", pa.float64()),  # nan if it can't be read
        ("sampling_rate_hz", pa.int32()),
        ("channels", pa.int32()),
        ("problem", pa.string()),  # why it can't be read
        # null if only the header was read; samples are kept only of small sets
        ("first_sample", pa.int64()),
        ("num_samples", pa.int64()),
        ("samples_hash", pa.uint64()),
        ("audio_hash", pa.uint64()),
        ("peak", pa.float32()),
        ("rms", pa.float32()),
        ("clipped", pa.float32()),
    ]
)


@dataclass(frozen=True)
class IndexedRow:
    """One row of an index, as plain values."""

    utterance_id: str
    audio: Audio | None
    signature: FileSignature | None
    content: int | None
    start_s: float | None
    end_s: float | None
    text: str | None
    group: str | None
    speaker: str | None
    language: str | None
    task: str | None
    prompt: str | None
    breakdown: list[str | None]
    kept: KeptSamples | None


class Index:
    """Rows on disk, read on demand. It is pickled as its folder's path, and another process maps the same file.

    Args:
        folder: Written by `index_building`.
        dataset_audio: Holds the audio of rows with a `dataset_row`.
    """

    def __init__(self, folder: Path, dataset_audio: DatasetAudio | None = None) -> None:
        self.folder = folder
        self.dataset_audio = dataset_audio
        self.facts: Mapping[str, Any] = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        reader = pa.ipc.open_file(pa.memory_map(str(folder / INDEX_FILE)))
        self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]

    def __reduce__(self) -> tuple[Any, ...]:
        return Index, (self.folder, self.dataset_audio)

    def __len__(self) -> int:
        return int(self.facts["rows"])

    def __getitem__(self, row: int) -> IndexedRow:
        """One row; its audio is not read."""
        encoded, offset, size, dataset_row = (
            self._cell(name, row) for name in ("path", "offset", "size", "dataset_row")
        )
        path = None if encoded is None else os.fsdecode(encoded)
        audio: Audio | None = None
        signature = None
        if dataset_row is not None:
            audio = DatasetCell(dataset_row)
        elif offset is not None:
            audio = ByteRange(Path(path) if path else self.folder / AUDIO_FILE, offset, size)
        elif path is not None:
            audio, signature = Path(path), self.file_signature(row)
        cells = {
            name: self._cell(name, row)
            for name in (
                *("utterance_id", "content", "start_s", "end_s"),
                *("text", "group", "speaker", "language", "task", "prompt", "breakdown"),
            )
        }
        kept_samples = [self._cell(name, row) for name in ("first_sample", "num_samples", "samples_hash")]
        kept = None if kept_samples[0] is None else KeptSamples(self.folder / SAMPLES_FILE, *kept_samples)
        return IndexedRow(audio=audio, signature=signature, kept=kept, **cells)

    def numbers(self, name: str) -> np.ndarray:
        """A column of numbers, shape (rows,); integers as floats with nan if some are null."""
        return np.concatenate([batch.column(name).to_numpy(zero_copy_only=False) for batch in self._batches])

    def column(self, name: str) -> pa.ChunkedArray:
        """A column as it is stored, shape (rows,)."""
        return pa.chunked_array([batch.column(name) for batch in self._batches])

    @cached_property
    def durations_s(self) -> np.ndarray:
        """Seconds of audio, shape (rows,); nan for what can't be read."""
        return self.numbers("duration_s")

    def file_signature(self, row: int) -> FileSignature:
        """Size and times of a row's file when it was indexed; or NO_FILE."""
        # cell by cell: as floats, times would be rounded
        size, mtime_ns, ctime_ns = (self._cell(name, row) for name in ("size", "mtime_ns", "ctime_ns"))
        return NO_FILE if mtime_ns is None else (size, mtime_ns, ctime_ns)

    def texts(self, name: str = "text") -> Iterator[list[str | None]]:
        """A column of texts, in batches of up to BATCH_ROWS."""
        for batch in self._batches:
            yield batch.column(name).to_pylist()

    def has_any(self, name: str) -> bool:
        """Whether any row has a value in this column."""
        return any(batch.column(name).null_count < len(batch) for batch in self._batches)

    def rows_with(self, name: str, part: str) -> list[int]:
        """The rows whose cell in a column of texts contains `part`, in order."""
        masks = [pc.match_substring(batch.column(name), part).fill_null(False) for batch in self._batches]
        return np.flatnonzero(np.concatenate([mask.to_numpy(zero_copy_only=False) for mask in masks])).tolist()

    def text_of(self, name: str, row: int) -> str | None:
        """One cell of a column of texts."""
        value: str | None = self._cell(name, row)
        return value

    def texts_of(self, name: str, rows: np.ndarray) -> list[str | None]:
        """Some cells of a column of texts, in the order of `rows`."""
        if not self.has_any(name):
            return [None] * len(rows)
        cells: list[str | None] = self.column(name).take(pa.array(rows)).to_pylist()
        return cells

    def _cell(self, name: str, row: int) -> Any:
        number, within = divmod(row, BATCH_ROWS)
        return self._columns[number][name][within].as_py()

    @cached_property
    def _columns(self) -> list[dict[str, pa.Array]]:
        """By name: looking a column up in a batch takes longer than reading a cell of it."""
        return [dict(zip(batch.schema.names, batch.columns, strict=True)) for batch in self._batches]
