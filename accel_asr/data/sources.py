"""From a source's name to rows: a Hub dataset, a folder, a manifest, or the embedded quickstart."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accel_asr.data.audio_paths import AudioPaths, named
from accel_asr.data.columns import find_columns
from accel_asr.data.manifests import MANIFEST_SUFFIXES, find_manifest, read_manifest, select_split
from accel_asr.data.quickstart import CLIPS_PARQUET, QUICKSTART
from accel_asr.data.rows import Found, Row, file_name, rows_of
from accel_asr.data.saved_datasets import is_saved_dataset, load_saved_table
from accel_asr.data.text_files import list_files, read_text_files
from accel_asr.errors import UserError


@dataclass(frozen=True)
class Source:
    """Rows in the source's order, and what the user should be told about how they were found."""

    rows: list[Row]
    notices: list[str] = field(default_factory=list)


def load_source(
    name_or_path: str,
    *,
    split: str,
    audio_column: str,
    text_column: str,
    group_column: str | None = None,
    subset: str | None = None,
    revision: str | None = None,
    allow_outside_paths: bool = False,
) -> Source:
    """Read one split of a source. Nothing is decoded here.

    Raises:
        UserError: no such source, unreadable, a missing column (the message lists those there are), an empty split, a
            URL, or a path out of the source's folder without `allow_outside_paths`.
    """
    path = CLIPS_PARQUET if name_or_path == QUICKSTART else Path(name_or_path)
    if path.exists():
        found = _find_local(
            path,
            split=split,
            audio_column=audio_column,
            text_column=text_column,
            allow_outside=allow_outside_paths,
        )
    elif path.suffix in MANIFEST_SUFFIXES or name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") > 1:
        raise UserError(f"data.name_or_path: {name_or_path!r} does not exist; check the path, or give a Hub dataset")
    else:
        from accel_asr.data.hub_datasets import load_hub_table  # `datasets` takes a second to import

        table, notices = load_hub_table(name_or_path, subset=subset, revision=revision, split=split)
        found = Found(table, notices, audio_column, text_column, id_prefix=split)
    if not any(found.table.values()):
        raise UserError(f"data.name_or_path: {name_or_path!r} has no rows in its split {split!r}")
    rows, notices = rows_of(found, group_column=group_column)
    return Source(rows=rows, notices=notices)


def _find_local(path: Path, *, split: str, audio_column: str, text_column: str, allow_outside: bool) -> Found:
    folder = path if path.is_dir() else path.parent
    paths = AudioPaths(folder, allow_outside=allow_outside)
    if path.is_dir() and is_saved_dataset(path):
        table, has_splits = load_saved_table(path, split=split)
        if not has_splits:
            table = select_split(table, split=split, manifest=path)
        id_prefix = split if has_splits else None
        return Found(table, [], audio_column, text_column, paths, id_prefix)
    manifest = find_manifest(path) if path.is_dir() else path
    if manifest is None:
        table, notices = read_text_files(path, split=split, paths=paths)
        return Found(table, notices, "file_name", "text", paths)
    table, notices = read_manifest(manifest), []
    if any(table.values()):
        if path.is_dir():
            columns = find_columns(table, audio_column=audio_column, text_column=text_column)
            notices = _unlisted(table[columns.audio], paths=paths, manifest=manifest)
        table = select_split(table, split=split, manifest=manifest)
    return Found(table, notices, audio_column, text_column, paths, is_manifest=True)


def _unlisted(audios: list[Any], *, paths: AudioPaths, manifest: Path) -> list[str]:
    """A notice of audio files in a manifest's folder that it does not list."""
    listed = {os.path.normpath(os.path.join(paths.folder, name)) for name in map(file_name, audios) if name}
    there, _, _ = list_files(paths.folder)
    unlisted = [name for name in there if os.path.normpath(os.path.join(paths.folder, name)) not in listed]
    if not unlisted or len(unlisted) == len(there):  # a table that holds the audio itself lists none
        return []
    of_all = f"{len(unlisted):,} of {len(there):,} audio files in the folder"
    return [f"{of_all} are not listed in {manifest.name}: {named(unlisted)}"]
