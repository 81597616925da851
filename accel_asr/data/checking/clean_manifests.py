"""Writes the kept rows as a manifest to train on, one for each source."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import soundfile

from accel_asr.audio.decoding import ByteRange
from accel_asr.audio.pyav_decoding import pyav_kind
from accel_asr.config.settings import DataConfig, SourceConfig
from accel_asr.data.checking.carried_cells import carried_cells, other_splits
from accel_asr.data.checking.check import Checked, CheckedPart
from accel_asr.data.reading.audio_paths import AudioPaths
from accel_asr.data.reading.manifests import SPLIT_COLUMN
from accel_asr.data.reading.rows import ID_COLUMN
from accel_asr.data.reading.shard_names import is_shard_pattern
from accel_asr.data.reading.source_table import DatasetCell
from accel_asr.data.reading.sources import read_source
from accel_asr.data.reading.time_columns import TimeSettings
from accel_asr.data.selection.run_sources import cache_dir_of, source_name
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import file_written_whole, write_errors_explained

_BATCH_ROWS = 5_000
_CELLS = ["utterance_id", "path", "offset", "dataset_row", "start_s", "end_s", "text"]
_CELLS += ["group", "language", "task", "prompt"]


@dataclass
class CleanManifest:
    """What was written, and the `settings` of the run to change to train on it.

    `other_rows` are those of splits that the run does not read, which were not checked; `left_out` lists what the
    source has and the manifest lacks.
    """

    path: Path
    source: str
    rows: int = 0
    other_rows: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def manifest_paths(path: Path, checked: Checked) -> list[Path]:
    """The manifest of each source: `path`, or with several sources, a file beside it for each."""
    names = [part.source.name for part in checked.parts if not part.validates]
    if len(names) == 1:
        return [path]
    safe = ["".join(c if c.isalnum() or c in "-_." else "-" for c in name or "") for name in names]
    return [path.with_name(f"{path.stem}-{name}{path.suffix}") for name in safe]


def write_clean_manifests(
    checked: Checked, path: Path, *, extract_to: Path | None = None, overwrite: bool = False
) -> list[CleanManifest]:
    """Write the kept rows of each source, in order, under the column names of the settings.

    Args:
        path: Ends with .jsonl.
        extract_to: Folder for recordings that are not files, such as cells of a table.

    Raises:
        UserError: a file exists already, or is the source itself; there are recordings that are not files, and no
            folder for them; something can't be written.
    """
    refuse_unwritable(checked, path, extract_to=extract_to, overwrite=overwrite)
    paths, groups = manifest_paths(path, checked), _parts_of_sources(checked)
    written = []
    with write_errors_explained(path, setting="--write_clean"):
        for target, parts in zip(paths, groups, strict=True):
            folder = extract_to / target.stem if extract_to and len(paths) > 1 else extract_to
            written.append(_write(checked.data, target, parts, extract_to=folder))
    return written


def refuse_unwritable(checked: Checked, path: Path, *, extract_to: Path | None, overwrite: bool) -> None:
    """Refuse what `write_clean_manifests` would, before anything that takes long.

    Raises:
        UserError: as there.
    """
    paths, groups = manifest_paths(path, checked), _parts_of_sources(checked)
    if not any(len(part.kept) for part in checked.parts):
        raise UserError("no row is kept that could be written", setting="--write_clean", remedy="fix the data first")
    if extract_to is None:
        _require_files(groups)
    elif extract_to.exists() and not overwrite and (not extract_to.is_dir() or any(extract_to.iterdir())):
        raise UserError(
            "is not an empty folder",
            setting="--extract_audio",
            value=extract_to,
            remedy="give another one, or --overwrite",
        )
    for target, parts in zip(paths, groups, strict=True):
        _refuse_own_source(target, parts)
        require_new(target, "--write_clean", overwrite=overwrite)


def _parts_of_sources(checked: Checked) -> list[list[CheckedPart]]:
    """The parts of each source, in the order of `manifest_paths`."""
    sources = [part for part in checked.parts if not part.validates]
    return [[part for part in checked.parts if part.source is source.source] for source in sources]


def require_new(path: Path, option: str, *, overwrite: bool) -> None:
    """Refuse to write over a file.

    Raises:
        UserError: it exists, and `overwrite` was not asked for.
    """
    if path.is_dir():
        raise UserError("is a folder", setting=option, value=path, remedy="give the name of a file")
    if path.exists() and not overwrite:
        raise UserError("exists already", setting=option, value=path, remedy="give another name, or --overwrite")


def _write(data: DataConfig, target: Path, parts: list[CheckedPart], *, extract_to: Path | None) -> CleanManifest:
    splits = _split_names(parts)
    source = parts[0].source
    clean = CleanManifest(
        target, source.name or source.name_or_path, settings=_changed_settings(data, source, target, splits)
    )
    folder = Path(os.path.abspath(target.parent))
    folder.mkdir(parents=True, exist_ok=True)
    audio_column = source.audio_column or data.audio_column
    paths = AudioPaths(folder, allow_outside=False)
    with file_written_whole(target) as beside, beside.open("w", encoding="utf-8") as file:
        for part, split in zip(parts, splits, strict=True):
            columns = _columns(data, part)
            name = source_name(data, source, part.split, validates=part.validates)
            carried = carried_cells(
                name, rows=len(part.part.index), cache_dir=cache_dir_of(data), keep_times="start" not in columns
            )
            clean.left_out += [f"column {column!r}, which JSON can't hold" for column in carried.left_out]
            if carried.times and name.times != TimeSettings():
                clean.settings |= {"start_column": "start", "end_column": "end", "duration_column": "null"}
            for row, cells in _rows(part):
                audio = _own_file(part, cells)
                if audio is None:
                    assert extract_to is not None
                    audio = _extract(part, row, extract_to)
                line = {
                    **{column: cells[cell] for column, cell in columns.items()},
                    **{column: values[row] for column, values in carried.columns.items()},
                    ID_COLUMN: cells["utterance_id"],
                    SPLIT_COLUMN: split,
                }
                file.write(_line(audio_column, _relative(audio, paths), line))
                clean.rows += 1
        _copy_other_splits(file, clean, data, parts, splits, paths=paths)
    try:
        paths.refuse_bad()
    except UserError:
        clean.settings["allow_outside_paths"] = "true"
    return clean


def _changed_settings(data: DataConfig, source: SourceConfig, target: Path, splits: list[str]) -> dict[str, str]:
    """What to change of the run's settings to train on the manifest."""
    settings = {"name_or_path": str(target)}
    for setting, name in zip(("train_split", "eval_split"), splits, strict=False):
        if name != (getattr(source, setting) or getattr(data, setting)):
            settings[setting] = name
    unwanted = [name for name in ("subset", "revision", "eval_name_or_path") if getattr(source, name) is not None]
    if source.audio_root or data.audio_root:
        unwanted.append("audio_root")
    return settings | dict.fromkeys(unwanted, "null")


def _line(audio_column: str, name: str, cells: dict[str, Any]) -> str:
    line = {audio_column: name} | {column: cell for column, cell in cells.items() if column != audio_column}
    text = json.dumps(line, ensure_ascii=False)
    # surrogates stand for bytes of a file name that is not UTF-8, and can only be written escaped
    return (text if text.isprintable() or text.encode(errors="ignore").decode() == text else json.dumps(line)) + "\n"


def _copy_other_splits(
    file: TextIO,
    clean: CleanManifest,
    data: DataConfig,
    parts: list[CheckedPart],
    splits: list[str],
    *,
    paths: AudioPaths,
) -> None:
    """Write the rows of splits that the run does not read, unchecked, so that they stay available."""
    source = parts[0].source
    own = [part for part in parts if not (part.validates and source.eval_name_or_path)]
    name = source_name(data, source, own[0].split)
    others = other_splits(name, [part.split.partition("[")[0] for part in own])
    if others is None and not is_shard_pattern(name.name_or_path):
        clean.left_out.append("splits that the run does not read, if the source has any")
    for split in others or ():
        if split in splits:  # what a part of another split is called here
            clean.left_out.append(f"split {split!r}, whose name another one has here")
            continue
        other = replace(name, split=split)
        try:
            rows = read_source(other, cache_dir=cache_dir_of(data)).rows
            is_cut = any(row.start_s is not None or row.end_s is not None for row in rows)
            carried = carried_cells(other, rows=len(rows), cache_dir=cache_dir_of(data), keep_times=not is_cut)
        except UserError as error:
            clean.left_out.append(f"split {split!r}: {error}")
            continue
        without_file = 0
        for number, row in enumerate(rows):
            if not isinstance(row.audio, Path):
                without_file += 1
                continue
            times = {"start": row.start_s, "end": row.end_s} if is_cut else {}
            rest = {column: values[number] for column, values in carried.columns.items()}
            line = {name.text_column: row.text, **times, **rest, ID_COLUMN: row.utterance_id, SPLIT_COLUMN: split}
            file.write(_line(name.audio_column, _relative(row.audio, paths), line))
            clean.other_rows += 1
        if without_file:
            clean.left_out.append(f"split {split!r}: {without_file:,} rows whose audio is not a file of its own")


def _split_names(parts: list[CheckedPart]) -> list[str]:
    """The name in the split column for each part: the split's own, where that tells the parts apart."""
    names = [part.split for part in parts]
    if len(set(names)) == len(names) and not any("[" in name for name in names):
        return names
    return ["train", "validation"][: len(parts)]


def _rows(part: CheckedPart) -> Iterator[tuple[int, dict[str, Any]]]:
    """The kept rows and their cells, read in batches: one by one takes half a minute for 100,000 rows."""
    columns = pa.table({name: part.part.index.column(name) for name in _CELLS})
    rows = part.kept.row_of
    for first in range(0, len(rows), _BATCH_ROWS):
        batch = rows[first : first + _BATCH_ROWS]
        yield from zip(batch.tolist(), columns.take(pa.array(batch)).to_pylist(), strict=True)


def _columns(data: DataConfig, part: CheckedPart) -> dict[str, str]:
    """Columns of the manifest besides audio and split, by the column of the index that they come from."""
    index = part.part.index
    columns = {part.source.text_column or data.text_column: "text"}
    if index.has_any("start_s") or index.has_any("end_s"):
        columns |= {"start": "start_s", "end": "end_s"}
    for name in ("group", "language", "task", "prompt"):
        column = getattr(data, f"{name}_column")
        if column is not None and (index.has_any(name) or name != "language"):
            columns[column] = name
    return columns


def _relative(path: Path, paths: AudioPaths) -> str:
    """`path` relative to the folder of `paths`, or absolute where it is outside, which `paths` records."""
    name = os.path.abspath(path).removeprefix(os.path.join(paths.folder, ""))
    paths.path(name)
    return name


# -- recordings that are not files


def _own_file(part: CheckedPart, cells: dict[str, Any]) -> Path | None:
    """The audio file of a row; None where the recording is a cell of a table, or lies in a shard."""
    if cells["dataset_row"] is not None:
        content = _of_dataset(part, cells["dataset_row"])
        return content if isinstance(content, Path) else None
    return Path(os.fsdecode(cells["path"])) if cells["offset"] is None else None


def _of_dataset(part: CheckedPart, dataset_row: int) -> bytes | Path:
    assert part.part.index.dataset_audio is not None
    return part.part.index.dataset_audio.get(dataset_row)


def _require_files(groups: list[list[CheckedPart]]) -> None:
    for part in (part for parts in groups for part in parts):
        if any(_own_file(part, cells) is None for _, cells in _rows(part)):
            raise UserError(
                f"a manifest names files, and the recordings of {part.source.name_or_path!r} are not files",
                setting="--write_clean",
                remedy="add --extract_audio FOLDER to write them as files there",
            )


def _refuse_own_source(target: Path, parts: list[CheckedPart]) -> None:
    for part in parts:
        sources = {os.path.realpath(path) for path, _ in part.part.index.facts["dependencies"]}
        if os.path.realpath(target) in sources:
            raise UserError(
                "is the source that is checked", setting="--write_clean", value=target, remedy="give another name"
            )


def _extract(part: CheckedPart, row: int, folder: Path) -> Path:
    """Write one encoded recording, unchanged, to a file that is named after its row."""
    audio = part.part.index[row].audio
    content = _of_dataset(part, audio.row) if isinstance(audio, DatasetCell) else audio
    if isinstance(content, ByteRange):
        content = content.read()
    assert isinstance(content, bytes)
    split = "".join(c if c.isalnum() else "-" for c in part.split).strip("-")
    path = folder / f"{split}-{row:07d}.{_suffix(content)}"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _suffix(content: bytes) -> str:
    """`wav`, `flac`, `mp3`, ...: by the content."""
    kind = pyav_kind(content)
    if kind is None:
        try:
            kind = soundfile.info(BytesIO(content)).format.lower()
        except soundfile.LibsndfileError:
            kind = "audio"
    return {"wavex": "wav", "rf64": "wav"}.get(kind, kind)
