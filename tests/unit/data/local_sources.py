"""Reading a local source as the default settings do, for the tests of each kind of source; and indexes of few rows."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accel_asr.data.indexing.index_building import open_index
from accel_asr.data.reading.rows import Row, RowColumns
from accel_asr.data.reading.sources import Source, SourceName, read_source
from accel_asr.data.selection.utterances import Part, Utterances
from accel_asr.data.text_processing import TextProcessing
from accel_asr.errors import UserError
from accel_asr.files.cache_folder import default_cache_dir

RATE_HZ = 16_000
AUDIO_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
COLUMNS = RowColumns(group="speaker", language="language", task="task", prompt="before")


def load(path: Path | str, *, group_column: str | None = None, **options: Any) -> Source:
    """`read_source` with the default settings, but for `options`."""
    return read_source(SourceName(str(path), **({"columns": RowColumns(group=group_column)} | options)))


def refused(path: Path | str, setting: str = "", *words: str, **options: Any) -> str:
    """Expect `load` to refuse `setting`, in a message with these words; returns the message."""
    with pytest.raises(UserError) as refusal:
        load(path, **options)
    errors = refusal.value.errors
    assert not setting or setting in [error.setting for error in errors], refusal.value
    assert not [word for word in words if word not in str(refusal.value)], refusal.value
    return str(refusal.value)


def write_rows(rows: Sequence[Row], path: Path) -> Path:
    """A Parquet manifest of these rows, with their bytes in it and the paths of their files.

    `start` and `end` are left out where no row is cut: their presence alone makes every row a segment.
    """
    columns = {"audio": pa.array([_audio_cell(row, path.parent) for row in rows], AUDIO_TYPE)}
    columns["text"] = pa.array([row.text for row in rows], pa.string())
    for name, column in (("group", "speaker"), ("language", "language"), ("task", "task"), ("prompt", "before")):
        columns[column] = pa.array([getattr(row, name) for row in rows], pa.string())
    for name, column in (("start_s", "start"), ("end_s", "end")):
        cells = [getattr(row, name) for row in rows]
        if any(cell is not None for cell in cells):
            columns[column] = pa.array(cells, pa.float64())
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def part_of(
    rows: Sequence[Row],
    folder: Path,
    *,
    channel: int | None = None,
    text: TextProcessing | None = None,
    decode_all: bool = False,
    **more: Any,
) -> Part:
    """The index of a Parquet manifest of these rows, whose ids must be those that the reader gives them."""
    path = write_rows(rows, folder / "clips.parquet")
    name = SourceName(str(path), columns=COLUMNS)
    index, _ = open_index(
        name, cache_dir=default_cache_dir(), sampling_rate_hz=16_000, channel=channel, decode_all=decode_all
    )
    assert [found for texts in index.texts("utterance_id") for found in texts] == [row.utterance_id for row in rows]
    return Part(index, text or TextProcessing(), RATE_HZ, channel=channel, **more)


def utterances_of(rows: Sequence[Row], folder: Path, **options: Any) -> Utterances:
    """All of these rows, unfiltered."""
    return Utterances.of_part(part_of(rows, folder, **options), np.arange(len(rows)))


def _audio_cell(row: Row, folder: Path) -> dict[str, Any]:
    assert row.audio is None or isinstance(row.audio, bytes | Path)
    if isinstance(row.audio, Path):
        return {"bytes": None, "path": os.path.relpath(row.audio, folder)}
    return {"bytes": row.audio, "path": None if row.audio is None else row.utterance_id}
