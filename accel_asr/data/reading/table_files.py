"""Tables in files of their own: one, several that are one set together, or all that a pattern matches."""

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import AudioPaths, named
from accel_asr.data.reading.columns import find_columns
from accel_asr.data.reading.folder_contents import FolderContents
from accel_asr.data.reading.manifests import MANIFEST_SUFFIXES, read_manifest, select_split
from accel_asr.data.reading.parquet_files import open_parquet_files
from accel_asr.data.reading.rows import Found
from accel_asr.data.reading.saved_datasets import table_of
from accel_asr.data.reading.source_table import SourceTable, Table
from accel_asr.data.reading.split_names import missing_shards
from accel_asr.data.reading.tar_shards import read_tar_shards
from accel_asr.errors import UserError
from accel_asr.files.cache_folder import default_cache_dir


@dataclass(frozen=True)
class LocalName:
    """What is asked of a file or folder. `any_lone_split`: if it has one split only, that one is meant."""

    path: Path
    split: str
    audio_column: str
    text_column: str
    subset: str | None = None
    allow_outside: bool = False
    any_lone_split: bool = False
    audio_root: Path | None = None
    cache_dir: Path = field(default_factory=default_cache_dir)

    def paths(self, folder: Path) -> AudioPaths:
        """Paths from `folder` on, which may lead anywhere in what the user named."""
        named_folder = self.path if self.path.is_dir() else self.path.parent
        return AudioPaths(folder, allow_outside=self.allow_outside, inside=named_folder, root=self.audio_root)


def is_table_pattern(name: str) -> bool:
    """Whether a source's name is a pattern of table files, such as `data/train-*.jsonl`."""
    return glob.has_magic(name) and "://" not in name and Path(name).suffix in MANIFEST_SUFFIXES


def find_tables(pattern: str, name: LocalName) -> Found:
    """The rows of all tables that a pattern matches, in the order of their names.

    Raises:
        UserError: it matches nothing, or a table can't be read.
    """
    files = sorted(Path(path) for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not files:
        raise UserError(
            f"data.name_or_path: no file matches {pattern!r}; check the pattern (it is relative to the current folder)"
        )
    base = Path(os.path.commonpath([str(file.absolute().parent) for file in files]))
    names = [os.path.relpath(file, base) for file in files]
    found = tables_as_one(replace(name, path=base), base, names, [f"read {len(files):,} files that match {pattern}"])
    # what matches tomorrow may lie in a folder that holds nothing of it today
    start = Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
    return replace(found, dependencies=(*FolderContents.of(start).folders, *found.dependencies))


def tables_as_one(
    name: LocalName, folder: Path, files: Sequence[str], notices: Sequence[str] = (), *, is_one_split: bool = False
) -> Found:
    """The rows of these files, which are relative to `folder`, as one table.

    Args:
        is_one_split: Their names have said which split they are, so that no column need say it.
    """
    whole = [folder / file for file in files]
    suffixes = {path.suffix.lower() for path in whole}
    if suffixes == {".tar"}:
        table, told = read_tar_shards(whole)
        return Found(table, [*notices, *told], "audio", name.text_column, id_column="key", dependencies=tuple(whole))
    if not name.path.is_file() and (missing := missing_shards(files)):
        of_others = f"{len(missing):,} files are missing, by the names of the others: {named(missing)}"
        notices = [*notices, f"{of_others}; read without them"]
    parents = {path.parent for path in whole}
    home = parents.pop() if len(parents) == 1 else folder
    dataset = None
    if suffixes == {".parquet"} and not name.path.is_file():
        dataset = open_parquet_files(whole, cache_dir=name.cache_dir / "parquet")
        table = table_of(dataset)
    elif len(whole) == 1:
        table = read_manifest(whole[0])
    else:
        table = _joined(whole, name, home)
    told = []
    if any(table.values()) and not is_one_split:
        where = whole[0] if len(whole) == 1 else home
        table, told = select_split(table, split=name.split, manifest=where, any_lone=name.any_lone_split)
    return Found(
        table,
        [*notices, *told],
        name.audio_column,
        name.text_column,
        name.paths(home),
        is_manifest=True,
        dataset=dataset,
        dependencies=tuple(whole),
    )


def _joined(files: Sequence[Path], name: LocalName, home: Path) -> Table:
    """The rows of several tables, whose audio files are named from `home` on.

    Raises:
        UserError: the tables have different columns.
    """
    joined: dict[str, list[Any]] = {}
    notices: list[str] = []
    rows = 0
    first: Table = {}
    for file in files:
        read = read_manifest(file)
        notices += [f"{file.name}: {notice}" for notice in read.notices]
        table: Table = read
        if not any(table.values()):
            continue
        first = first or table
        # lines of JSON may leave out what is empty; a header that differs is another kind of table
        if file.suffix not in (".json", ".jsonl") and set(table) != set(first):
            odd = sorted(set(table) ^ set(first))
            raise UserError(
                f"data.name_or_path: {str(file)!r} has not the columns of {files[0].name}: only one of them has "
                f"{named([repr(column) for column in odd])}; name the file that you want"
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
    """An audio cell whose file, if it names one by a relative path, lies in the folder `inside`."""
    if isinstance(audio, Mapping):
        return {**audio, "path": _from_home(audio.get("path"), inside)}
    if isinstance(audio, str) and audio and "://" not in audio and not os.path.isabs(audio):
        return os.path.join(inside, audio)
    return audio
