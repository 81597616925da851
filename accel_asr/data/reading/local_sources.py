"""From a local file or folder to a table: which layout it has, and which part of it is the split."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import AudioPaths
from accel_asr.data.reading.columns import find_columns
from accel_asr.data.reading.corpus_layouts import KALDI_FILE, read_kaldi_folder, read_transcripts, split_of_transcripts
from accel_asr.data.reading.dataset_cards import CARD, choose_config, configs_of_card, files_by_split
from accel_asr.data.reading.folder_contents import LAYOUTS, DataTable, FolderContents
from accel_asr.data.reading.manifests import find_manifest, read_manifest, select_split
from accel_asr.data.reading.rows import ReadableTable, file_name
from accel_asr.data.reading.saved_datasets import is_saved_dataset, open_saved_dataset, table_of
from accel_asr.data.reading.source_table import first_few, source_error
from accel_asr.data.reading.split_names import choose_splits, is_split_name
from accel_asr.data.reading.table_files import (
    LocalName,
    annotations_as_table,
    is_table_pattern,
    table_of_annotated,
    tables_as_one,
)
from accel_asr.data.reading.text_elsewhere import with_texts_from_elsewhere
from accel_asr.data.reading.text_files import list_files, read_text_files
from accel_asr.data.reading.timed_texts.annotated_recordings import read_annotated_folder
from accel_asr.errors import UserError
from accel_asr.files.regular_files import NO_REGULAR_FILE, is_no_regular_file

_MOST_SUBSETS = 20  # listed in a message


def find_local(name: LocalName) -> ReadableTable:
    """The table of a file or folder.

    Raises:
        UserError: an unknown layout (says what the folder holds), or no such split or subset; or as the readers raise.
    """
    path = name.path
    if is_no_regular_file(path):
        raise source_error(NO_REGULAR_FILE, path, "give a file or a folder")
    if path.is_file():
        if path.name == KALDI_FILE:
            return _of_kaldi(name, path.parent)
        if (annotated := annotations_as_table(name, path.parent, [path])) is not None:
            return replace(annotated, dependencies=(path.parent, *annotated.dependencies))  # audio may come or go
        return tables_as_one(name, path.parent, [path.name])
    # beside a manifest, a README.md may be anything
    configs = {} if name.subset is None and find_manifest(path) is not None else configs_of_card(path)
    if name.subset is None or configs or is_saved_dataset(path):
        return _of_folder(name, configs)
    inner = path / os.path.normpath(name.subset)
    if inner.is_dir() and path in inner.parents and ".." not in inner.parts[len(path.parts) :]:
        return find_local(replace(name, path=inner, subset=None))
    # other sources of the run may have such a subset; if this one has others, it asks which one is meant
    source = _of_folder(replace(name, subset=None), configs)
    return replace(source, notices=[*source.notices, f"{path.name} has no subset {name.subset!r}; read without it"])


def _of_folder(name: LocalName, configs: Mapping[str, dict[str, Any]]) -> ReadableTable:
    folder = name.path
    if is_saved_dataset(folder):
        return _of_saved_dataset(name)
    contents = FolderContents.of(folder)
    source = (
        _of_metadata(name, contents)
        or _of_card(name, contents, configs)
        or _of_kaldi_folders(name, contents)
        or _of_librispeech(name, contents)
        or _of_named_tables(name, contents, contents.split_tables())
        or _of_annotations(name, contents)
        or _of_texts(name, contents)
        or _of_named_tables(name, contents, list(contents.named_tables()))
    )
    if source is not None:
        return replace(source, dependencies=(*contents.folders, *source.dependencies))
    remedy = f"give one of these: {LAYOUTS}"
    if contents.suffixes[".tar"]:
        remedy = f"give tar shards by a pattern: --data.name_or_path '{folder}/*.tar'"
    raise source_error(f"the folder has no known layout; it holds {contents.summary()}", folder, remedy)


def audio_may_stay_outside(name_or_path: str) -> bool:
    """Whether a local source may be a dataset of the library `datasets`, which keeps its audio."""
    path = Path(name_or_path)
    if not path.is_dir():
        return is_table_pattern(name_or_path) and path.suffix == ".parquet"
    return is_saved_dataset(path) or FolderContents.of(path).suffixes[".parquet"] > 0


# -- readers of one layout each; None if the folder has another


def _of_metadata(name: LocalName, contents: FolderContents) -> ReadableTable | None:
    manifest = find_manifest(contents.folder)
    if manifest is None:
        return None
    paths = name.paths(manifest.parent)
    table, texts = with_texts_from_elsewhere(
        read_manifest(manifest),
        audio_column=name.audio_column,
        text_column=name.text_column,
        paths=name.paths(manifest.parent),
        manifest=manifest,
    )
    notices: list[str] = []
    if any(table.values()):
        columns = find_columns(table, audio_column=name.audio_column, text_column=name.text_column)
        table_of_split, notices = select_split(table, split=name.split, manifest=manifest, any_lone=name.any_lone_split)
        notices = [*_unlisted(table[columns.audio], paths=paths, manifest=manifest), *notices]
        table = table_of_split
    return ReadableTable(
        table, notices, name.audio_column, name.text_column, paths, is_manifest=True, dependencies=(manifest, *texts)
    )


def _of_saved_dataset(name: LocalName) -> ReadableTable:
    dataset, own_split, notices = open_saved_dataset(name.path, split=name.split, any_lone=name.any_lone_split)
    table = table_of(dataset)
    if own_split is None:
        table, notices = select_split(table, split=name.split, manifest=name.path, any_lone=name.any_lone_split)
    return ReadableTable(
        table, notices, name.audio_column, name.text_column, name.paths(name.path), id_prefix=own_split, dataset=dataset
    )


def _of_card(name: LocalName, contents: FolderContents, configs: Mapping[str, dict[str, Any]]) -> ReadableTable | None:
    if not configs:
        return None
    folder = contents.folder
    files = files_by_split(choose_config(configs, name.subset, folder=folder), folder=folder)
    where = f"the {CARD} of {str(folder)!r}"
    splits, notices = choose_splits(name.split, list(files), where=where, any_lone=name.any_lone_split)
    chosen = [path for split in splits for path in files[split]]
    tables = [path for path in chosen if path in contents.tables]  # an audiofolder lists its audio too
    return tables_as_one(name, folder, tables or chosen, notices, is_one_split=True)


def _of_kaldi(name: LocalName, folder: Path, notices: Sequence[str] = ()) -> ReadableTable:
    table, home, kaldi_notices, files = read_kaldi_folder(folder)
    paths = AudioPaths(home, allow_outside=name.allow_outside, root=name.audio_root)
    # with its own columns, whatever those of other sources are called
    return ReadableTable(
        table,
        [*notices, *kaldi_notices],
        "audio",
        "text",
        paths,
        is_manifest=True,
        id_column="utterance_id",
        dependencies=(folder, *files),
    )


def _of_kaldi_folders(name: LocalName, contents: FolderContents) -> ReadableTable | None:
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
        raise source_error(
            f"several Kaldi folders may be {name.split!r} ({first_few(folders)})",
            contents.folder,
            "give one of them, or list them in data.sources",
        )
    return _of_kaldi(name, contents.folder / folders[0], notices)


def _of_librispeech(name: LocalName, contents: FolderContents) -> ReadableTable | None:
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
    table, transcript_notices = read_transcripts(contents.folder, chosen)
    files = tuple(contents.folder / path for path in chosen)
    return ReadableTable(
        table,
        [*notices, *transcript_notices],
        "audio",
        "text",
        name.paths(contents.folder),
        id_column="utterance_id",
        dependencies=files,
    )


def _of_annotations(name: LocalName, contents: FolderContents) -> ReadableTable | None:
    if not contents.may_have_annotations:
        return None
    folder = contents.folder
    annotated = read_annotated_folder(
        folder, split=name.split, paths=name.paths(folder), tiers=name.tiers, any_lone=name.any_lone_split
    )
    return None if annotated is None else table_of_annotated(name, folder, annotated)


def _of_texts(name: LocalName, contents: FolderContents) -> ReadableTable | None:
    if not contents.has_texts_beside_audio:
        return None
    table, notices = read_text_files(
        contents.folder, split=name.split, paths=name.paths(contents.folder), any_lone=name.any_lone_split
    )
    texts = tuple(contents.folder / text for text in list_files(contents.folder)[1])
    return ReadableTable(table, notices, "file_name", "text", name.paths(contents.folder), dependencies=texts)


def _of_named_tables(name: LocalName, contents: FolderContents, tables: list[DataTable]) -> ReadableTable | None:
    if not tables:
        return None
    by_split: dict[str, list[DataTable]] = {}
    for table in tables:
        stem = Path(table.path).stem
        # asked for by its name, train-clean-100 is not a shard of train-clean
        by_split.setdefault(stem if stem == name.split else table.split, []).append(table)
    splits, notices = choose_splits(
        name.split, list(by_split), where=repr(str(contents.folder)), any_lone=name.any_lone_split, all_without=True
    )
    chosen = [table for split in splits for table in by_split[split]]
    subsets = sorted({table.subset for table in chosen})
    if len(subsets) > 1:
        raise UserError(
            f"{str(contents.folder)!r} has tables in several folders",
            setting="--data.subset",
            remedy="list them in data.sources, or give one of: "
            f"{first_few([subset or '.' for subset in subsets], most=_MOST_SUBSETS)}",
        )
    files = [table.path for table in chosen]
    notices.append(f"{name.split}: read {first_few(files)} of {contents.folder.name}")
    is_one_split = any(map(is_split_name, splits))
    return tables_as_one(name, contents.folder, files, notices, is_one_split=is_one_split)


def _unlisted(audios: list[Any], *, paths: AudioPaths, manifest: Path) -> list[str]:
    """A notice of audio files in a manifest's folder that the manifest does not list."""
    listed = {os.path.normpath(os.path.join(paths.folder, name)) for name in map(file_name, audios) if name}
    names, _, _ = list_files(paths.folder)
    unlisted = [name for name in names if os.path.normpath(os.path.join(paths.folder, name)) not in listed]
    if not unlisted or len(unlisted) == len(names):  # a table that holds the audio itself lists none
        return []
    of_all = f"{len(unlisted):,} of {len(names):,} audio files in the folder"
    return [f"{of_all} are not listed in {manifest.name}: {first_few(unlisted)}"]
