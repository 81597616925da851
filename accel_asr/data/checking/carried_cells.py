"""What a source has besides what a run reads: other columns and other splits, which a clean manifest keeps."""

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from accel_asr.data.reading.columns import find_columns
from accel_asr.data.reading.manifests import (
    MANIFEST_SUFFIXES,
    SPLIT_COLUMN,
    find_manifest,
    read_manifest,
    splits_of_rows,
)
from accel_asr.data.reading.row_segments import find_segments
from accel_asr.data.reading.rows import columns_in_use
from accel_asr.data.reading.sources import SourceName, find_source, rows_of_parts
from accel_asr.data.reading.split_names import choose_splits
from accel_asr.errors import UserError


@dataclass(frozen=True)
class CarriedCells:
    """Other columns than audio and text, a cell for each row of an index.

    `times` are the names of the columns that select segments, which `columns` excludes; `left_out` are the names of
    those that JSON can't hold.
    """

    columns: dict[str, list[Any]]
    times: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def carried_cells(name: SourceName, *, rows: int, cache_dir: Path, keep_times: bool) -> CarriedCells:
    """The other columns of one split of a source, in the order of its index.

    Args:
        rows: How many the index has.
        keep_times: Include columns of times: they cut no row.

    Raises:
        UserError: as `read_source` raises; or the source has changed since it was indexed.
    """
    source, parts = find_source(name, cache_dir=cache_dir)
    table = source.table
    main = find_columns(table, audio_column=source.audio_column, text_column=source.text_column)
    times: tuple[str, ...] = ()
    if not keep_times:
        others = columns_in_use(main.text, name.columns)
        times = find_segments(table, name.times, audio_column=main.audio, others=others).columns
    chosen = rows_of_parts(parts, len(table[main.audio]))
    own = {main.audio, main.text, SPLIT_COLUMN, *times, *(column.partition(".")[0] for column in times)}
    columns: dict[str, list[Any]] = {}
    left_out = []
    for column, cells in table.items():
        if column in own or column.startswith(f"{main.audio}."):
            continue
        try:
            columns[column] = [_for_json(cell) for cell in (cells[row] for row in chosen)]
        except TypeError:
            left_out.append(column)
    if any(len(cells) != rows for cells in columns.values()):
        raise UserError(
            "has changed since it was read",
            setting="--data.name_or_path",
            value=name.name_or_path,
            remedy="check it again",
        )
    return CarriedCells(columns, times, tuple(left_out))


def other_splits(name: SourceName, splits: Sequence[str]) -> list[str] | None:
    """The splits of a manifest other than `splits`, those that a run reads; None if the source is no manifest, so its
    splits are unknown."""
    path = name.local_path
    manifest = find_manifest(path) if path is not None and path.is_dir() else path
    if manifest is None or manifest.suffix.lower() not in MANIFEST_SUFFIXES:
        return None
    table = read_manifest(manifest)
    all_splits, _ = splits_of_rows(table) or ([], "")
    read: set[str] = set()
    for split in splits if all_splits else ():
        read.update(choose_splits(split, all_splits, where=repr(str(manifest)), any_lone=name.any_lone_split)[0])
    return [split for split in dict.fromkeys(all_splits) if split and split not in read]


def _for_json(cell: Any) -> Any:
    """A cell as JSON can hold it; None for a float that is not finite.

    Raises:
        TypeError: it holds bytes, or another type without an obvious JSON form.
    """
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    if cell is None or isinstance(cell, str | int):
        return cell
    if isinstance(cell, Decimal | datetime.date | datetime.time | datetime.timedelta):
        return str(cell)
    if isinstance(cell, Mapping):
        return {str(key): _for_json(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_for_json(value) for value in cell]
    raise TypeError(type(cell).__name__)
