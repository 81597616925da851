"""From a source's name to rows: a Hub dataset, a folder, a manifest, tar shards, or the embedded quickstart."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accel_asr.data.indexing.cache_folder import default_cache_dir
from accel_asr.data.quickstart import CLIPS_PARQUET, QUICKSTART
from accel_asr.data.reading.audio_paths import AudioPaths, named
from accel_asr.data.reading.columns import find_columns
from accel_asr.data.reading.downloads import download
from accel_asr.data.reading.manifests import MANIFEST_SUFFIXES, find_manifest, read_manifest, select_split
from accel_asr.data.reading.rows import Found, Row, RowColumns, file_name, rows_of
from accel_asr.data.reading.saved_datasets import DatasetAudio, is_saved_dataset, open_saved_dataset, table_of
from accel_asr.data.reading.shard_names import expand_shards, is_shard_pattern
from accel_asr.data.reading.tar_shards import read_tar_shards
from accel_asr.data.reading.text_files import list_files, read_text_files
from accel_asr.errors import UserError

_PART = re.compile(r"(?P<split>[^\[\]]*)\[(?P<begin>-?\d+%?)?:(?P<end>-?\d+%?)?\]")


@dataclass(frozen=True)
class Source:
    """Rows in the source's order, and what the user should be told about how they were found.

    `dependencies` are the files and folders that say whether rows read before are still those. `dataset_audio` holds
    the audio of rows that refer to a dataset.
    """

    rows: list[Row]
    notices: list[str] = field(default_factory=list)
    dependencies: tuple[Path, ...] = ()
    dataset_audio: DatasetAudio | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # kept in the index


@dataclass(frozen=True)
class SourceName:
    """What a source is called, and which of its columns mean what."""

    name_or_path: str
    split: str = "train"
    audio_column: str = "audio"
    text_column: str = "text"
    columns: RowColumns = field(default_factory=RowColumns)
    subset: str | None = None
    revision: str | None = None
    allow_outside_paths: bool = False

    @property
    def local_path(self) -> Path | None:
        """The file or folder that it names; None for what comes from the Hub or from shards."""
        path = CLIPS_PARQUET if self.name_or_path == QUICKSTART else Path(self.name_or_path)
        return path if path.exists() and not is_shard_pattern(self.name_or_path) else None


def load_source(
    name_or_path: str,
    *,
    split: str,
    audio_column: str,
    text_column: str,
    group_column: str | None = None,
    allow_outside_paths: bool = False,
    **more: Any,
) -> Source:
    """`read_source` of what the arguments name, with the default language column."""
    columns = more.pop("columns", RowColumns(group=group_column))
    return read_source(
        SourceName(
            name_or_path,
            split=split,
            audio_column=audio_column,
            text_column=text_column,
            columns=columns,
            allow_outside_paths=allow_outside_paths,
            **more,
        )
    )


def read_source(name: SourceName, *, cache_dir: Path | None = None) -> Source:
    """Read one split of a source. Nothing is decoded here.

    Args:
        cache_dir: Where shards that a URL names are downloaded to.

    Raises:
        UserError: no such source, unreadable, a missing column (the message lists those there are), an empty split, a
            URL, or a path out of the source's folder without `allow_outside_paths`.
    """
    whole_split, part = _part_of_split(name.split)
    path = name.local_path
    if is_shard_pattern(name.name_or_path):
        found = _find_shards(name, cache_dir=cache_dir)
    elif path is not None:
        found = _find_local(path, name, split=whole_split)
    elif _looks_local(name.name_or_path):
        raise UserError(
            f"data.name_or_path: {name.name_or_path!r} does not exist; check the path, or give a Hub dataset"
        )
    else:
        from accel_asr.data.reading.hub_datasets import cache_of_hub, open_hub_dataset  # a second to import

        dataset, notices = open_hub_dataset(
            name.name_or_path, subset=name.subset, revision=name.revision, split=name.split
        )
        part = None  # the library has taken it
        # a row that names a file may name one that was downloaded, and no other of this machine
        paths = AudioPaths(cache_of_hub(), allow_outside=name.allow_outside_paths)
        found = Found(
            table_of(dataset),
            notices,
            name.audio_column,
            name.text_column,
            paths,
            id_prefix=whole_split,
            dataset=dataset,
        )
    if not any(found.table.values()):
        raise UserError(f"data.name_or_path: {name.name_or_path!r} has no rows in its split {whole_split!r}")
    rows, notices, audio_column = rows_of(found, name.columns)
    if part is not None:
        begin, end = (_row_number(bound, len(rows)) for bound in part)
        rows, everything = rows[begin:end], len(rows)
        notices = [*notices, f"{name.split}: {len(rows):,} of {everything:,} rows"]
        if not rows:
            raise UserError(f"data.train_split or data.eval_split: {name.split!r} selects none of {everything:,} rows")
    dependencies = found.dependencies
    dataset_audio = None
    if found.dataset is not None:
        dependencies = tuple(Path(file["filename"]) for file in found.dataset.cache_files)
        dataset_audio = DatasetAudio(found.dataset, audio_column)
    return Source(rows=rows, notices=notices, dependencies=dependencies, dataset_audio=dataset_audio)


def _looks_local(name: str) -> bool:
    return Path(name).suffix in MANIFEST_SUFFIXES or name.startswith((".", "/", "~")) or name.count("/") > 1


def _find_shards(name: SourceName, *, cache_dir: Path | None) -> Found:
    shards = [
        Path(shard) if "://" not in shard else download(shard, (cache_dir or default_cache_dir()) / "downloads")
        for shard in expand_shards(name.name_or_path)
    ]
    table, notices = read_tar_shards(shards)
    return Found(table, notices, "audio", name.text_column, id_column="key", dependencies=tuple(shards))


def _find_local(path: Path, name: SourceName, *, split: str) -> Found:
    audio_column, text_column = name.audio_column, name.text_column
    folder = path if path.is_dir() else path.parent
    paths = AudioPaths(folder, allow_outside=name.allow_outside_paths)
    if path.is_dir() and is_saved_dataset(path):
        dataset, has_splits = open_saved_dataset(path, split=split)
        table = table_of(dataset)
        if not has_splits:
            table = select_split(table, split=split, manifest=path)
        id_prefix = split if has_splits else None
        return Found(table, [], audio_column, text_column, paths, id_prefix, dataset=dataset)
    folders = tuple(Path(here) for here, _, _ in os.walk(path)) if path.is_dir() else ()
    manifest = find_manifest(path) if path.is_dir() else path
    if manifest is None:
        table, notices = read_text_files(path, split=split, paths=paths)
        texts = tuple(folder / name for name in list_files(folder)[1])
        return Found(table, notices, "file_name", "text", paths, dependencies=(*folders, *texts))
    table, notices = read_manifest(manifest), []
    if any(table.values()):
        if path.is_dir():
            columns = find_columns(table, audio_column=audio_column, text_column=text_column)
            notices = _unlisted(table[columns.audio], paths=paths, manifest=manifest)
        table = select_split(table, split=split, manifest=manifest)
    return Found(table, notices, audio_column, text_column, paths, is_manifest=True, dependencies=(*folders, manifest))


def _part_of_split(split: str) -> tuple[str, tuple[str | None, str | None] | None]:
    """`train` and (`10%`, None) of `train[10%:]`; None for a whole split.

    Raises:
        UserError: brackets that do not hold `begin:end`.
    """
    if "[" not in split and "]" not in split:
        return split, None
    match = _PART.fullmatch(split)
    if match is None or not match["split"]:
        raise UserError(
            f"data.train_split or data.eval_split: {split!r} is no part of a split; write train[:90%], train[90%:] or "
            "train[:1000]"
        )
    return match["split"], (match["begin"], match["end"])


def _row_number(bound: str | None, rows: int) -> int | None:
    """The row at `bound`: a number, or a share with `%`; counted from the end if below 0, as in a slice of Python."""
    if bound is None:
        return None
    return round(int(bound[:-1]) * rows / 100) if bound.endswith("%") else int(bound)


def _unlisted(audios: list[Any], *, paths: AudioPaths, manifest: Path) -> list[str]:
    """A notice of audio files in a manifest's folder that it does not list."""
    listed = {os.path.normpath(os.path.join(paths.folder, name)) for name in map(file_name, audios) if name}
    there, _, _ = list_files(paths.folder)
    unlisted = [name for name in there if os.path.normpath(os.path.join(paths.folder, name)) not in listed]
    if not unlisted or len(unlisted) == len(there):  # a table that holds the audio itself lists none
        return []
    of_all = f"{len(unlisted):,} of {len(there):,} audio files in the folder"
    return [f"{of_all} are not listed in {manifest.name}: {named(unlisted)}"]
