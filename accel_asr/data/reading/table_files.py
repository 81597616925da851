"""Table files: one, several that make up one set, or all that a pattern matches."""

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import AudioPaths
from accel_asr.data.reading.columns import find_columns
from accel_asr.data.reading.folder_contents import FolderContents
from accel_asr.data.reading.manifests import MANIFEST_SUFFIXES, read_manifest, select_split
from accel_asr.data.reading.rows import ReadableTable
from accel_asr.data.reading.saved_datasets import open_parquet_files, table_of
from accel_asr.data.reading.source_table import SourceTable, Table, first_few, source_error
from accel_asr.data.reading.split_names import missing_shards
from accel_asr.data.reading.tar_shards import read_tar_shards
from accel_asr.data.reading.text_elsewhere import with_texts_from_elsewhere
from accel_asr.data.reading.timed_texts.annotated_recordings import Annotated, read_annotation_files
from accel_asr.data.reading.timed_texts.recording_pairs import is_annotation_name
from accel_asr.data.reading.timed_texts.tier_choice import TierSettings
from accel_asr.files.cache_folder import default_cache_dir


@dataclass(frozen=True)
class LocalName:
    """What is asked of a file or folder. `any_lone_split`: a single split is meant, whatever its name."""

    path: Path
    split: str
    audio_column: str
    text_column: str
    subset: str | None = None
    allow_outside: bool = False
    any_lone_split: bool = False
    audio_root: Path | None = None
    tiers: TierSettings = field(default_factory=TierSettings)
    cache_dir: Path = field(default_factory=default_cache_dir)

    def paths(self, folder: Path) -> AudioPaths:
        """Paths relative to `folder`, which may lead anywhere in the folder that the user gave."""
        given_folder = self.path if self.path.is_dir() else self.path.parent
        return AudioPaths(folder, allow_outside=self.allow_outside, inside=given_folder, root=self.audio_root)


def is_table_pattern(name: str) -> bool:
    """Whether a source's name is a pattern of table or annotation files, such as `data/train-*.jsonl`."""
    is_readable = Path(name).suffix in MANIFEST_SUFFIXES or is_annotation_name(name)
    return is_readable and glob.has_magic(name) and "://" not in name


def find_tables(pattern: str, name: LocalName) -> ReadableTable:
    """The rows of all tables that a pattern matches, in the order of their names.

    Raises:
        UserError: it matches nothing, or a table can't be read.
    """
    files = sorted(Path(path) for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not files:
        raise source_error("no file matches", pattern, "check the pattern (it is relative to the current folder)")
    base = Path(os.path.commonpath([str(file.absolute().parent) for file in files]))
    notices = [f"read {len(files):,} files that match {pattern}"]
    source = annotations_as_table(replace(name, path=base), base, files, notices)
    if source is None:
        names = [os.path.relpath(file, base) for file in files]
        source = tables_as_one(replace(name, path=base), base, names, notices)
    # a new match may appear in a folder that has none now
    start = Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
    return replace(source, dependencies=(*FolderContents.of(start).folders, *source.dependencies))


def tables_as_one(
    name: LocalName,
    folder: Path,
    files: Sequence[str],
    notices: Sequence[str] = (),
    *,
    is_one_split: bool = False,
    texts_elsewhere: bool = True,
) -> ReadableTable:
    """The rows of these files, which are relative to `folder`, as one table.

    Args:
        is_one_split: Their names stand for the split, so no column has to.
        texts_elsewhere: Read the texts that a table without a column of them has elsewhere.
    """
    paths = [folder / file for file in files]
    suffixes = {path.suffix.lower() for path in paths}
    if suffixes == {".tar"}:
        table, shard_notices = read_tar_shards(paths)
        return ReadableTable(
            table, [*notices, *shard_notices], "audio", name.text_column, id_column="key", dependencies=tuple(paths)
        )
    if not name.path.is_file() and (missing := missing_shards(files)):
        of_others = f"{len(missing):,} files are missing, by the names of the others: {first_few(missing)}"
        notices = [*notices, f"{of_others}; read without them"]
    parents = {path.parent for path in paths}
    home = parents.pop() if len(parents) == 1 else folder
    dataset = None
    if suffixes == {".parquet"} and not name.path.is_file():
        dataset = open_parquet_files(paths, cache_dir=name.cache_dir / "parquet")
        table = table_of(dataset)
    elif len(paths) == 1:
        table = read_manifest(paths[0])
    else:
        table = _joined(paths, name, home)
    texts: tuple[Path, ...] = ()
    if texts_elsewhere:
        table, texts = with_texts_from_elsewhere(
            table,
            audio_column=name.audio_column,
            text_column=name.text_column,
            paths=name.paths(home),
            manifest=paths[0],
        )
    split_notices: list[str] = []
    if any(table.values()) and not is_one_split:
        where = paths[0] if len(paths) == 1 else home
        table, split_notices = select_split(table, split=name.split, manifest=where, any_lone=name.any_lone_split)
    return ReadableTable(
        table,
        [*notices, *split_notices],
        name.audio_column,
        name.text_column,
        name.paths(home),
        is_manifest=True,
        dataset=dataset,
        dependencies=(*paths, *texts),
    )


def annotations_as_table(
    name: LocalName, folder: Path, files: Sequence[Path], notices: Sequence[str] = ()
) -> ReadableTable | None:
    """The cues of annotation files given by name; None if they are not all annotations."""
    if not all(is_annotation_name(file.name) for file in files):
        return None
    annotated = read_annotation_files(files, folder, paths=name.paths(folder), tiers=name.tiers)
    return None if annotated is None else table_of_annotated(name, folder, annotated, notices)


def table_of_annotated(
    name: LocalName, folder: Path, annotated: Annotated, notices: Sequence[str] = ()
) -> ReadableTable:
    """Rows with times, with their own columns, whatever those of other sources are called."""
    return ReadableTable(
        annotated.table,
        [*notices, *annotated.notices],
        "file_name",
        "text",
        name.paths(folder),
        dependencies=tuple(annotated.files),
        has_tiers=True,
    )


def _joined(files: Sequence[Path], name: LocalName, home: Path) -> Table:
    """The rows of several tables, with the names of their audio files relative to `home`.

    Raises:
        UserError: the tables have different columns.
    """
    joined: dict[str, list[Any]] = {}
    notices: list[str] = []
    rows = 0
    first: Table = {}
    for file in files:
        manifest = read_manifest(file)
        notices += [f"{file.name}: {notice}" for notice in manifest.notices]
        table: Table = manifest
        if not any(table.values()):
            continue
        first = first or table
        # JSON lines may leave out empty cells; a header that differs means another kind of table
        if file.suffix not in (".json", ".jsonl") and set(table) != set(first):
            odd = sorted(set(table) ^ set(first))
            raise source_error(
                f"its columns are not those of {files[0].name}: only one of them has "
                f"{first_few([repr(column) for column in odd])}",
                file,
                "give the file that you want",
            )
        inside = os.path.relpath(file.parent, home)
        if inside != ".":
            audio = find_columns(table, audio_column=name.audio_column, text_column=name.text_column).audio
            table = {**table, audio: [_from_home(cell, inside) for cell in table[audio]]}
        count = len(next(iter(table.values())))
        for column in {**joined, **table}:
            joined.setdefault(column, [None] * rows).extend(table.get(column, [None] * count))
        rows += count
    return SourceTable(joined, notices=notices)


def _from_home(audio: Any, inside: str) -> Any:
    """An audio cell, with the folder `inside` before a relative path."""
    if isinstance(audio, Mapping):
        return {**audio, "path": _from_home(audio.get("path"), inside)}
    if isinstance(audio, str) and audio and "://" not in audio and not os.path.isabs(audio):
        return os.path.join(inside, audio)
    return audio
