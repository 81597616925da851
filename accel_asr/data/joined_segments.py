"""`data.join_segments`: neighbours of one recording as one row, with their times written in its text.

The joined rows are an index of their own, kept beside that of the source, so that everything takes them as any rows.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64, xxh3_64_hexdigest

from accel_asr.data.indexing.index import AUDIO_FILE, BATCH_ROWS, FACTS_FILE, INDEX_FILE, SCHEMA, Index
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.order.packing import label_groups
from accel_asr.data.order.stitching import Stitching
from accel_asr.data.selection.neighbours import spans_s
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.text_processing import TextProcessing
from accel_asr.files.atomic_writes import folder_written_whole
from accel_asr.files.cache_folder import cache_errors_explained, cache_locked
from accel_asr.model.written_tokens import TimedWords

_OF_SEVERAL = ("audio_hash", "peak", "rms", "clipped")  # was found in the samples of each row, and is not true of all
_ELSEWHERE = ("first_sample", "num_samples", "samples_hash")  # samples that the other index keeps
_CHANGED = ("utterance_id", "text", "prompt", "path", "speaker", "start_s", "end_s", "duration_s", *_OF_SEVERAL)


def joined_segments(
    utterances: Utterances, *, encoder: LabelEncoder, window_s: float, longest_pause_s: float
) -> tuple[Utterances, str]:
    """The same speech in rows of at most `window_s`, in the order of their first rows; and a notice.

    Only rows of equal language, task, group and breakdown are joined; those without a neighbour stay as they are.

    Args:
        utterances: Of one part.
    """
    [part] = utterances.parts
    stitching = Stitching.of_utterances(
        utterances,
        encoder=encoder,
        groups=_alike(utterances, encoder),
        validation=(),
        longest_pause_s=longest_pause_s,
        window_s=window_s,
    )
    windows = sorted(stitching.packs(np.arange(len(utterances))))
    rows_of_windows = [utterances.row_of[rows].tolist() for rows in windows]
    facts = ["joined", part.index.facts["checksum"], asdict(part.text), rows_of_windows]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    folder = part.index.folder / f"joined-{digest}"
    with cache_errors_explained(folder), cache_locked(folder.with_suffix(".lock"), work="the index of joined rows"):
        index = _opened(folder, part.index)
        if index is None:
            with folder_written_whole(folder) as writing:
                table = _table(utterances, windows)
                with pa.OSFile(str(writing / INDEX_FILE), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
                    writer.write_table(table, max_chunksize=BATCH_ROWS)
                own = {"rows": len(windows), "keeps_samples": False, "checksum": xxh3_64(digest.encode()).intdigest()}
                content = {**part.index.facts, **own, "index_digest": _digest(writing / INDEX_FILE)}
                (writing / FACTS_FILE).write_text(json.dumps(content), encoding="utf-8")
            index = Index(folder, part.index.dataset_audio)
    joined = replace(part, index=index, text=TextProcessing(written_times="read"))
    several = sum(len(rows) > 1 for rows in windows)
    notice = f"joined {len(utterances):,} rows to {len(windows):,} of up to {window_s:g} s (data.join_segments)"
    if not several:
        notice += f": no row is followed by another of its recording within {longest_pause_s:g} s"
    return Utterances.of_part(joined, np.arange(len(windows))), notice


def _alike(utterances: Utterances, encoder: LabelEncoder) -> np.ndarray:
    """A number for each that is equal where what a joined row has once is equal, shape (utterances,)."""
    cells = zip(
        label_groups(utterances, encoder).tolist(),
        utterances.cells("group"),
        [tuple(cell or ()) for cell in utterances.cells("breakdown")],
        strict=True,
    )
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(cell, len(numbers)) for cell in cells], dtype=np.int64)


def _table(utterances: Utterances, windows: Sequence[Sequence[int]]) -> pa.Table:
    [part] = utterances.parts
    index = part.index
    starts_s, ends_s = spans_s(utterances)
    firsts = utterances.row_of[[rows[0] for rows in windows]]
    table = pa.table({name: index.column(name) for name in SCHEMA.names}, schema=SCHEMA).take(pa.array(firsts))
    columns = {name: table.column(name).to_pylist() for name in _CHANGED}
    offsets, speakers = table.column("offset").to_pylist(), utterances.cells("speaker")
    for place, rows in enumerate(windows):
        mine = [utterances[row] for row in rows]
        columns["text"][place] = mine[0].text
        columns["prompt"][place] = mine[0].prompt
        if offsets[place] is not None and columns["path"][place] is None:
            columns["path"][place] = os.fsencode(index.folder / AUDIO_FILE)
        begin_s, end_s = float(starts_s[rows[0]]), float(ends_s[rows[-1]])
        parts: list[TimedWords] = []
        for row, utterance in zip(rows, mine, strict=True):
            offset_s = float(starts_s[row]) - begin_s
            own = utterance.timed or (TimedWords(utterance.text, 0.0, float(ends_s[row] - starts_s[row])),)
            parts += [replace(each, start_s=offset_s + each.start_s, end_s=offset_s + each.end_s) for each in own]
        if len(rows) > 1 or mine[0].timed:
            columns["text"][place] = _written(parts)
        if len(rows) > 1:
            columns["utterance_id"][place] = f"{columns['utterance_id'][place]} and {len(rows) - 1} more"
            columns["start_s"][place], columns["end_s"][place] = begin_s, end_s
            columns["duration_s"][place] = end_s - begin_s
            columns["speaker"][place] = speakers[rows[0]] if len({speakers[row] for row in rows}) == 1 else None
            for name in _OF_SEVERAL:
                columns[name][place] = None
    columns |= {name: [None] * len(windows) for name in _ELSEWHERE}
    for name, cells in columns.items():
        field = SCHEMA.field(name)
        table = table.set_column(SCHEMA.get_field_index(name), field, pa.array(cells, field.type))
    return table.combine_chunks()


def _written(parts: Sequence[TimedWords]) -> str:
    """The parts with their times, none of which is earlier than the one before it."""
    text, now_s = "", 0.0
    for part in parts:
        start_s = max(part.start_s, now_s)
        now_s = max(part.end_s, start_s)
        text += f"<|{start_s:.3f}|>{part.text}<|{now_s:.3f}|>"
    return text


def _opened(folder: Path, base: Index) -> Index | None:
    """The index in a folder, or None if it is not there or is not what was written."""
    try:
        index = Index(folder, base.dataset_audio)
        return index if index.facts["index_digest"] == _digest(folder / INDEX_FILE) else None
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None


def _digest(path: Path) -> str:
    return xxh3_64_hexdigest(path.read_bytes())
