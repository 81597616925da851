"""From a file or folder on this machine to a table: which layout it has, and which part of it is a split."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import AudioPaths, named
from accel_asr.data.reading.columns import find_columns
from accel_asr.data.reading.dataset_cards import CARD, choose_config, configs_of_card, files_by_split
from accel_asr.data.reading.folder_contents import UNDERSTOOD, DataTable, FolderContents
from accel_asr.data.reading.kaldi_folders import KALDI_FILE, read_kaldi_folder
from accel_asr.data.reading.librispeech_folders import read_transcripts, split_of_transcripts
from accel_asr.data.reading.manifests import find_manifest, read_manifest, select_split
from accel_asr.data.reading.rows import Found, file_name
from accel_asr.data.reading.saved_datasets import is_saved_dataset, open_saved_dataset, table_of
from accel_asr.data.reading.source_table import Table
from accel_asr.data.reading.split_names import choose_splits, is_split_name
from accel_asr.data.reading.table_files import LocalName, is_table_pattern, tables_as_one
from accel_asr.data.reading.text_files import list_files, read_text_files
from accel_asr.errors import UserError
from accel_asr.files.regular_files import NO_REGULAR_FILE, is_no_regular_file

_MOST_TOLD = 20  # folders named by a message


def find_local(name: LocalName) -> Found:
    """The table of a file or folder.

    Raises:
        UserError: it has no layout that is understood (says what was seen), or no such split or subset; or as the
            readers raise.
    """
    path = name.path
    if is_no_regular_file(path):
        raise UserError(f"data.name_or_path: {str(path)!r}: {NO_REGULAR_FILE}; give a file or a folder")
    if path.is_file():
        if path.name == KALDI_FILE:
            return _of_kaldi(name, path.parent)
        return tables_as_one(name, path.parent, [path.name])
    # beside a table of its own, a README.md may be anything
    configs = {} if name.subset is None and find_manifest(path) is not None else configs_of_card(path)
    if name.subset is None or configs or is_saved_dataset(path):
        return _of_folder(name, configs)
    inner = path / os.path.normpath(name.subset)
    if inner.is_dir() and path in inner.parents and ".." not in inner.parts[len(path.parts) :]:
        return find_local(replace(name, path=inner, subset=None))
    # other sources of the run may have such a subset; where this one has others, it asks which one is meant
    found = _of_folder(replace(name, subset=None), configs)
    return replace(found, notices=[*found.notices, f"{path.name} has no subset {name.subset!r}; read without it"])


def _of_folder(name: LocalName, configs: Mapping[str, dict[str, Any]]) -> Found:
    folder = name.path
    if is_saved_dataset(folder):
        return _of_saved_dataset(name)
    contents = FolderContents.of(folder)
    for read in (
        _of_metadata,
        _of_card(configs),
        _of_kaldi_folders,
        _of_librispeech,
        _of_split_tables,
        _of_texts,
        _of_any_tables,
    ):
        found = read(name, contents)
        if found is not None:
            return replace(found, dependencies=(*contents.folders, *found.dependencies))
    hint = ""
    if contents.suffixes[".tar"]:
        hint = f" (tar shards are named by a pattern: --data.name_or_path '{folder}/*.tar')"
    raise UserError(
        f"data.name_or_path: the folder {str(folder)!r} has no layout that is understood; it holds {contents.seen()}"
        f"{hint}. What is understood: {UNDERSTOOD}"
    )


def audio_may_stay_outside(name_or_path: str) -> bool:
    """Whether the audio of a local source may stay in a dataset of the library `datasets`, opened each time."""
    path = Path(name_or_path)
    if not path.is_dir():
        return is_table_pattern(name_or_path) and path.suffix == ".parquet"
    return is_saved_dataset(path) or FolderContents.of(path).suffixes[".parquet"] > 0


# -- readers of one layout; those of a folder give None where it has another


def _of_metadata(name: LocalName, contents: FolderContents) -> Found | None:
    manifest = find_manifest(contents.folder)
    if manifest is None:
        return None
    paths = name.paths(manifest.parent)
    table: Table = read_manifest(manifest)
    notices: list[str] = []
    if any(table.values()):
        columns = find_columns(table, audio_column=name.audio_column, text_column=name.text_column)
        notices = _unlisted(table[columns.audio], paths=paths, manifest=manifest)
        table, told = select_split(table, split=name.split, manifest=manifest, any_lone=name.any_lone_split)
        notices += told
    return Found(table, notices, name.audio_column, name.text_column, paths, is_manifest=True, dependencies=(manifest,))


def _of_saved_dataset(name: LocalName) -> Found:
    dataset, told_apart, notices = open_saved_dataset(name.path, split=name.split, any_lone=name.any_lone_split)
    table = table_of(dataset)
    if told_apart is None:
        table, notices = select_split(table, split=name.split, manifest=name.path, any_lone=name.any_lone_split)
    return Found(
        table,
        notices,
        name.audio_column,
        name.text_column,
        name.paths(name.path),
        id_prefix=told_apart,
        dataset=dataset,
    )


def _of_card(configs: Mapping[str, dict[str, Any]]) -> Callable[[LocalName, FolderContents], Found | None]:
    def read(name: LocalName, contents: FolderContents) -> Found | None:
        if not configs:
            return None
        folder = contents.folder
        files = files_by_split(choose_config(configs, name.subset, folder=folder), folder=folder)
        where = f"the {CARD} of {str(folder)!r}"
        splits, notices = choose_splits(name.split, list(files), where=where, any_lone=name.any_lone_split)
        chosen = [path for split in splits for path in files[split]]
        tables = [path for path in chosen if path in contents.tables]  # beside them, an audiofolder matches its audio
        return tables_as_one(name, folder, tables or chosen, notices, is_one_split=True)

    return read


def _of_kaldi(name: LocalName, folder: Path, notices: Sequence[str] = ()) -> Found:
    table, home, told, files = read_kaldi_folder(folder)
    paths = AudioPaths(home, allow_outside=name.allow_outside, root=name.audio_root)
    # its own columns, whatever those of other sources are called
    return Found(
        table,
        [*notices, *told],
        "audio",
        "text",
        paths,
        is_manifest=True,
        id_column="utterance_id",
        dependencies=(folder, *files),
    )


def _of_kaldi_folders(name: LocalName, contents: FolderContents) -> Found | None:
    if not contents.kaldi:
        return None
    if contents.kaldi == ["."]:
        return _of_kaldi(name, contents.folder)
    by_split: dict[str, list[str]] = {}
    for folder in contents.kaldi:
        by_split.setdefault(Path(folder).name, []).append(folder)
    where = f"the Kaldi folders in {str(contents.folder)!r}"
    splits, notices = choose_splits(name.split, list(by_split), where=where, any_lone=name.any_lone_split)
    folders = [folder for split in splits for folder in by_split[split]]
    if len(folders) > 1:
        raise UserError(
            f"data.name_or_path: several Kaldi folders in {str(contents.folder)!r} may be {name.split!r} "
            f"({named(folders)}); name one of them in data.name_or_path, or list them in data.sources"
        )
    return _of_kaldi(name, contents.folder / folders[0], notices)


def _of_librispeech(name: LocalName, contents: FolderContents) -> Found | None:
    if not contents.transcripts:
        return None
    by_split: dict[str, list[str]] = {}
    for path in contents.transcripts:
        by_split.setdefault(split_of_transcripts(path), []).append(path)
    where = f"the LibriSpeech folder {str(contents.folder)!r}"
    splits, notices = list(by_split), list[str]()
    if splits != [""]:
        splits, notices = choose_splits(name.split, splits, where=where, any_lone=name.any_lone_split, all_without=True)
    chosen = [path for split in splits for path in by_split[split]]
    table, told = read_transcripts(contents.folder, chosen)
    files = tuple(contents.folder / path for path in chosen)
    return Found(
        table,
        [*notices, *told],
        "audio",
        "text",
        name.paths(contents.folder),
        id_column="utterance_id",
        dependencies=files,
    )


def _of_split_tables(name: LocalName, contents: FolderContents) -> Found | None:
    return _of_named_tables(name, contents, contents.split_tables())


def _of_texts(name: LocalName, contents: FolderContents) -> Found | None:
    if not contents.has_texts_beside_audio:
        return None
    table, notices = read_text_files(
        contents.folder, split=name.split, paths=name.paths(contents.folder), any_lone=name.any_lone_split
    )
    texts = tuple(contents.folder / text for text in list_files(contents.folder)[1])
    return Found(table, notices, "file_name", "text", name.paths(contents.folder), dependencies=texts)


def _of_any_tables(name: LocalName, contents: FolderContents) -> Found | None:
    return _of_named_tables(name, contents, list(contents.named_tables()))


def _of_named_tables(name: LocalName, contents: FolderContents, tables: list[DataTable]) -> Found | None:
    if not tables:
        return None
    by_split: dict[str, list[DataTable]] = {}
    for table in tables:
        stem = Path(table.path).stem
        # train-clean-100 is no shard of train-clean where it is asked for by its name
        by_split.setdefault(stem if stem == name.split else table.split, []).append(table)
    splits, notices = choose_splits(
        name.split,
        list(by_split),
        where=repr(str(contents.folder)),
        any_lone=name.any_lone_split,
        all_without=True,
    )
    chosen = [table for split in splits for table in by_split[split]]
    subsets = sorted({table.subset for table in chosen})
    if len(subsets) > 1:
        raise UserError(
            f"data.subset: {str(contents.folder)!r} has tables in several folders; set data.subset to one of: "
            f"{named([subset or '.' for subset in subsets], most=_MOST_TOLD)}, or list them in data.sources"
        )
    files = [table.path for table in chosen]
    notices.append(f"{name.split}: read {named(files)} of {contents.folder.name}")
    is_one_split = any(map(is_split_name, splits))
    return tables_as_one(name, contents.folder, files, notices, is_one_split=is_one_split)


def _unlisted(audios: list[Any], *, paths: AudioPaths, manifest: Path) -> list[str]:
    """A notice of audio files in a manifest's folder that it does not list."""
    listed = {os.path.normpath(os.path.join(paths.folder, name)) for name in map(file_name, audios) if name}
    there, _, _ = list_files(paths.folder)
    unlisted = [name for name in there if os.path.normpath(os.path.join(paths.folder, name)) not in listed]
    if not unlisted or len(unlisted) == len(there):  # a table that holds the audio itself lists none
        return []
    of_all = f"{len(unlisted):,} of {len(there):,} audio files in the folder"
    return [f"{of_all} are not listed in {manifest.name}: {named(unlisted)}"]
