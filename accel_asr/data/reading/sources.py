"""From a source's name to its rows: a Hub dataset, a folder, a manifest, tar shards, or the embedded quickstart."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import AudioPaths
from accel_asr.data.reading.downloads import download
from accel_asr.data.reading.local_sources import find_local
from accel_asr.data.reading.manifests import MANIFEST_SUFFIXES
from accel_asr.data.reading.rows import ReadableTable, Row, RowColumns, rows_of, speaker_column_of
from accel_asr.data.reading.saved_datasets import DatasetAudio, table_of
from accel_asr.data.reading.shard_names import expand_shards, is_shard_pattern
from accel_asr.data.reading.source_table import SourceTable, source_error
from accel_asr.data.reading.table_files import LocalName, find_tables, is_table_pattern
from accel_asr.data.reading.tar_shards import read_tar_shards
from accel_asr.data.reading.time_columns import TimeSettings
from accel_asr.data.reading.timed_texts.recording_pairs import is_annotation_name
from accel_asr.data.reading.timed_texts.tier_choice import TierSettings
from accel_asr.errors import UserError
from accel_asr.files.cache_folder import default_cache_dir
from accel_asr.quickstart import CLIPS_PARQUET, QUICKSTART

_SPLITS = "--data.train_split or --data.eval_split"
_PART = re.compile(r"(?P<split>[^\[\]]*)\[(?P<begin>-?\d+%?)?:(?P<end>-?\d+%?)?\]")
PartOfSplit = tuple[str | None, str | None]  # begin and end as written: `10%` and None of train[10%:]


@dataclass(frozen=True)
class Source:
    """Rows in the source's order, and notices for the user on how they were read.

    Args:
        dependencies: If these files and folders have not changed, neither have the rows.
        dataset_audio: The audio of rows that refer to a dataset.
        facts: Kept in the index.
    """

    rows: list[Row]
    notices: list[str] = field(default_factory=list)
    dependencies: tuple[Path, ...] = ()
    dataset_audio: DatasetAudio | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceName:
    """What a source is called, and which of its columns is which.

    `any_lone_split`: the single split of a local source is meant, whatever `split` says.
    """

    name_or_path: str
    split: str = "train"
    audio_column: str = "audio"
    text_column: str = "text"
    columns: RowColumns = field(default_factory=RowColumns)
    times: TimeSettings = field(default_factory=TimeSettings)
    subset: str | None = None
    revision: str | None = None
    allow_outside_paths: bool = False
    any_lone_split: bool = False
    audio_root: str | None = None
    tiers: TierSettings = field(default_factory=TierSettings)

    @property
    def local_path(self) -> Path | None:
        """The file or folder of that name; None for the Hub, shards and patterns."""
        path = CLIPS_PARQUET if self.name_or_path == QUICKSTART else Path(self.name_or_path)
        return path if path.exists() and not is_shard_pattern(self.name_or_path) else None


def read_source(name: SourceName, *, cache_dir: Path | None = None) -> Source:
    """Read one split of a source. Nothing is decoded.

    Args:
        cache_dir: Where shards are downloaded to, and Parquet files are unpacked.

    Raises:
        UserError: no such source, unreadable, a missing column (lists those there are), an empty split, a URL, or a
            path out of the source's folder without `allow_outside_paths`.
    """
    source, parts = find_source(name, cache_dir=cache_dir)
    rows, notices, audio_column = rows_of(source, name.columns, name.times)
    if parts:
        total = len(rows)
        rows = [rows[row] for row in rows_of_parts(parts, total)]
        notices = [*notices, f"{name.split}: {len(rows):,} of {total:,} rows"]
        if not rows:
            raise UserError(f"selects none of {total:,} rows", setting=_SPLITS, value=name.split)
    dependencies = source.dependencies
    dataset_audio = None
    if source.dataset is not None:
        dependencies += tuple(Path(file["filename"]) for file in source.dataset.cache_files)
        dataset_audio = DatasetAudio(source.dataset, audio_column)
    has_times = isinstance(source.table, SourceTable) and source.table.has_times
    facts = {
        "has_times": has_times,
        "speaker_column": speaker_column_of(source.table),
        "group_column": name.columns.group,
    }
    return Source(rows, notices, dependencies, dataset_audio, facts)


def find_source(name: SourceName, *, cache_dir: Path | None) -> tuple[ReadableTable, list[PartOfSplit]]:
    """The table of one split of a source, and which parts of its rows are asked for; none for all of them.

    Raises:
        UserError: as `read_source`, except for faults of columns and rows.
    """
    split_name, parts = parts_of_split(name.split)
    path = name.local_path
    if is_shard_pattern(name.name_or_path):
        source = _find_shards(name, cache_dir=cache_dir)
    elif path is not None:
        source = find_local(_local_name(name, path, split=split_name, cache_dir=cache_dir))
    elif is_table_pattern(name.name_or_path):
        pattern = name.name_or_path
        source = find_tables(pattern, _local_name(name, Path(pattern), split=split_name, cache_dir=cache_dir))
    elif _looks_local(name.name_or_path):
        raise source_error("does not exist", name.name_or_path, "check the path, or give a Hub dataset")
    else:
        from accel_asr.data.reading.hub_datasets import cache_of_hub, open_hub_dataset  # a second to import

        dataset, notices = open_hub_dataset(
            name.name_or_path, subset=name.subset, revision=name.revision, split=name.split
        )
        parts = []  # the library has selected them
        # a row may name a downloaded file, and no other file of this machine
        paths = AudioPaths(cache_of_hub(), allow_outside=name.allow_outside_paths)
        source = ReadableTable(
            table_of(dataset),
            notices,
            name.audio_column,
            name.text_column,
            paths,
            id_prefix=name.split,
            dataset=dataset,
        )
    if name.tiers != TierSettings() and not source.has_tiers:
        raise UserError(
            f"{name.name_or_path} has no annotations with tiers or speakers",
            setting="--data.tier" if name.tiers.tier is not None else "--data.speaker",
            value=name.tiers.tier if name.tiers.tier is not None else name.tiers.speaker,
            remedy="leave it out, or give it to the source that has them, in data.sources",
        )
    if not any(source.table.values()):
        raise source_error(f"it has no rows in its split {split_name!r}", name.name_or_path)
    return source, parts


def rows_of_parts(parts: list[PartOfSplit], rows: int) -> list[int]:
    """Which of so many rows these parts of a split select; without parts, all."""
    slices = (slice(_row_number(begin, rows), _row_number(end, rows)) for begin, end in parts or [(None, None)])
    return [row for part in slices for row in range(rows)[part]]


def _looks_local(name: str) -> bool:
    has_known_suffix = Path(name).suffix in MANIFEST_SUFFIXES or is_annotation_name(name)
    return has_known_suffix or name.startswith((".", "/", "~")) or name.count("/") > 1


def _find_shards(name: SourceName, *, cache_dir: Path | None) -> ReadableTable:
    shards = [
        Path(shard) if "://" not in shard else download(shard, (cache_dir or default_cache_dir()) / "downloads")
        for shard in expand_shards(name.name_or_path)
    ]
    table, notices = read_tar_shards(shards)
    return ReadableTable(table, notices, "audio", name.text_column, id_column="key", dependencies=tuple(shards))


def _local_name(name: SourceName, path: Path, *, split: str, cache_dir: Path | None) -> LocalName:
    return LocalName(
        path,
        split,
        name.audio_column,
        name.text_column,
        subset=name.subset,
        allow_outside=name.allow_outside_paths,
        any_lone_split=name.any_lone_split,
        audio_root=Path(name.audio_root) if name.audio_root else None,
        tiers=name.tiers,
        cache_dir=cache_dir or default_cache_dir(),
    )


def parts_of_split(split: str) -> tuple[str, list[PartOfSplit]]:
    """`train` and [(None, `10%`), (`20%`, None)] of `train[:10%]+train[20%:]`; no parts of `train`.

    Raises:
        UserError: brackets that do not hold `begin:end`, or parts of different splits.
    """
    if "[" not in split and "]" not in split:
        return split, []
    matches = [_PART.fullmatch(piece) for piece in split.split("+")]
    names = {match["split"] for match in matches if match is not None}
    if None in matches or len(names) != 1 or not all(names):
        raise UserError(
            "is not a part of a split",
            setting=_SPLITS,
            value=split,
            remedy="write train[:90%], train[90%:], train[:1000] or train[:10%]+train[20%:]",
        )
    return names.pop(), [(match["begin"], match["end"]) for match in matches if match is not None]


def rest_of_split(split: str) -> str | None:
    """`train[:90%]` of `train[90%:]`: the rest of the split; None for a full split, or several parts."""
    split_name, parts = parts_of_split(split)
    if len(parts) != 1:
        return None
    begin, end = parts[0]
    rest = [f"{split_name}[:{begin}]"] * (begin is not None) + [f"{split_name}[{end}:]"] * (end is not None)
    return "+".join(rest) or None


def _row_number(bound: str | None, rows: int) -> int | None:
    """The row at `bound`: a number, or a percentage; below 0 it counts from the end, as in a Python slice."""
    if bound is None:
        return None
    return round(int(bound[:-1]) * rows / 100) if bound.endswith("%") else int(bound)
