"""Write the rows that are kept as a manifest to train on: one for each source."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import soundfile

from accel_asr.audio.byte_ranges import ByteRange, DatasetCell
from accel_asr.audio.pyav_decoding import pyav_kind
from accel_asr.config.settings import DataConfig
from accel_asr.data.checking.carried_cells import carried_cells, other_splits
from accel_asr.data.checking.check import Checked, CheckedPart, columns_of
from accel_asr.data.reading.audio_paths import AudioPaths
from accel_asr.data.reading.manifests import SPLIT_COLUMN
from accel_asr.data.reading.rows import ID_COLUMN
from accel_asr.data.reading.shard_names import is_shard_pattern
from accel_asr.data.reading.sources import read_source
from accel_asr.data.reading.time_columns import TimeSettings
from accel_asr.data.selection.run_sources import cache_dir_of, source_name
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import file_written_whole

_BATCH_ROWS = 5_000
_CELLS = ["utterance_id", "path", "offset", "dataset_row", "start_s", "end_s", "text"]
_CELLS += ["group", "language", "task", "prompt"]


@dataclass
class CleanManifest:
    """What was written, and `settings`: what to change of the run's settings to train on it.

    `other_rows` are those of splits that the run does not read, which were not checked; `left_out` says what of the
    source is not in there.
    """

    path: Path
    source: str
    rows: int = 0
    extracted: int = 0
    other_rows: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def manifest_paths(path: Path, checked: Checked) -> list[Path]:
    """Where the manifest of each source goes: `path`, or with several sources, a file beside it for each."""
    names = [part.source.name for part in checked.parts if not part.validates]
    if len(names) == 1:
        return [path]
    safe = ["".join(c if c.isalnum() or c in "-_." else "-" for c in name or "") for name in names]
    return [path.with_name(f"{path.stem}-{name}{path.suffix}") for name in safe]


def write_clean_manifests(
    checked: Checked, path: Path, *, extract_to: Path | None = None, overwrite: bool = False
) -> list[CleanManifest]:
    """Write the kept rows of each source, in order, under the names of columns that the settings give.

    Args:
        path: Ends with .jsonl.
        extract_to: Folder for the recordings that are no files of their own.

    Raises:
        UserError: a file is there already, or the source is read from it; there are recordings without a file of
            their own and no folder for them; something can't be written.
    """
    paths = manifest_paths(path, checked)
    sources = [part for part in checked.parts if not part.validates]
    groups = [[part for part in checked.parts if part.source is source.source] for source in sources]
    if not any(len(part.kept) for part in checked.parts):
        raise UserError("--write_clean: no row is kept that could be written; mend the data first")
    if extract_to is None:
        _require_files(groups)
    elif extract_to.exists() and not overwrite and (not extract_to.is_dir() or any(extract_to.iterdir())):
        raise UserError(f"--extract_audio: {str(extract_to)!r} is no empty folder; give another one, or --overwrite")
    for target, parts in zip(paths, groups, strict=True):
        _refuse_own_source(target, parts)
        require_new(target, "--write_clean", overwrite=overwrite)
    written = []
    try:
        for target, parts in zip(paths, groups, strict=True):
            folder = extract_to / target.stem if extract_to and len(paths) > 1 else extract_to
            written.append(_write(checked.data, target, parts, extract_to=folder))
    except OSError as error:
        raise UserError(f"--write_clean: can't write {str(path)!r} ({error.strerror or error})") from error
    return written


def require_new(path: Path, option: str, *, overwrite: bool) -> None:
    """Refuse to write over a file.

    Raises:
        UserError: it is there, and `overwrite` was not asked for.
    """
    if path.is_dir():
        raise UserError(f"{option}: {str(path)!r} is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise UserError(f"{option}: {str(path)!r} is there already; give another name, or --overwrite")


def _write(data: DataConfig, target: Path, parts: list[CheckedPart], *, extract_to: Path | None) -> CleanManifest:
    splits = _split_names(parts)
    source = parts[0].source
    clean = CleanManifest(target, source.name or source.name_or_path)
    clean.settings["name_or_path"] = str(target)
    for setting, name in zip(("train_split", "eval_split"), splits, strict=False):
        if name != (getattr(source, setting) or getattr(data, setting)):
            clean.settings[setting] = name
    for unwanted in ("subset", "revision", "eval_name_or_path"):
        if getattr(source, unwanted) is not None:
            clean.settings[unwanted] = "null"
    if source.audio_root or data.audio_root:
        clean.settings["audio_root"] = "null"
    folder = Path(os.path.abspath(target.parent))
    folder.mkdir(parents=True, exist_ok=True)
    inside = os.path.join(folder, "")
    audio_column = source.audio_column or data.audio_column
    paths = AudioPaths(folder, allow_outside=False)
    with file_written_whole(target) as beside, beside.open("w", encoding="utf-8") as file:
        for part, split in zip(parts, splits, strict=True):
            columns = _columns(data, part)
            asked = source_name(data, source, part.split, validates=part.validates)
            carried = carried_cells(
                asked, rows=len(part.part.index), cache_dir=cache_dir_of(data), keep_times="start" not in columns
            )
            clean.left_out += [f"column {column!r}, which JSON can't hold" for column in carried.left_out]
            if carried.times and asked.times != TimeSettings():
                clean.settings |= {"start_column": "start", "end_column": "end", "duration_column": "null"}
            for row, cells in _rows(part):
                audio = _own_file(part, cells)
                if audio is None:
                    assert extract_to is not None
                    audio = _extract(part, row, extract_to)
                    clean.extracted += 1
                others = {column: values[row] for column, values in carried.columns.items()}
                told = {column: cells[cell] for column, cell in columns.items()}
                line = {**told, **others, ID_COLUMN: cells["utterance_id"], SPLIT_COLUMN: split}
                file.write(_line(audio_column, _relative(audio, inside, paths), line))
                clean.rows += 1
        _carry_over_other_splits(file, clean, data, parts, splits, inside=inside, paths=paths)
    try:
        paths.refuse_bad()
    except UserError:
        clean.settings["allow_outside_paths"] = "true"
    return clean


def _line(audio_column: str, name: str, cells: dict[str, Any]) -> str:
    line = {audio_column: name} | {column: cell for column, cell in cells.items() if column != audio_column}
    text = json.dumps(line, ensure_ascii=False)
    # halves of characters stand for bytes of a file's name; only escaped they can be written
    return (text if text.isprintable() or text.encode(errors="ignore").decode() == text else json.dumps(line)) + "\n"


def _carry_over_other_splits(
    file: TextIO,
    clean: CleanManifest,
    data: DataConfig,
    parts: list[CheckedPart],
    splits: list[str],
    *,
    inside: str,
    paths: AudioPaths,
) -> None:
    """Write the rows of splits that the run does not read, unchecked, so that they can still be asked for."""
    source = parts[0].source
    own = [part for part in parts if not (part.validates and source.eval_name_or_path)]
    asked = source_name(data, source, own[0].split)
    others = other_splits(asked, [part.split.partition("[")[0] for part in own])
    if others is None and not is_shard_pattern(asked.name_or_path):
        clean.left_out.append("splits that the run does not read, if the source has any")
    for split in others or ():
        if split in splits:  # as a part of another split is called here
            clean.left_out.append(f"split {split!r}, whose name is that of another one here")
            continue
        name = replace(asked, split=split)
        try:
            rows = read_source(name, cache_dir=cache_dir_of(data)).rows
            is_cut = any(row.start_s is not None or row.end_s is not None for row in rows)
            carried = carried_cells(name, rows=len(rows), cache_dir=cache_dir_of(data), keep_times=not is_cut)
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
            line = {asked.text_column: row.text, **times, **rest, ID_COLUMN: row.utterance_id, SPLIT_COLUMN: split}
            file.write(_line(asked.audio_column, _relative(row.audio, inside, paths), line))
            clean.other_rows += 1
        if without_file:
            clean.left_out.append(f"split {split!r}: {without_file:,} rows whose audio is no file of its own")


def _split_names(parts: list[CheckedPart]) -> list[str]:
    """What the split column says for the rows of each part: the split's own name where that tells them apart."""
    names = [part.split for part in parts]
    if len(set(names)) == len(names) and not any("[" in name for name in names):
        return names
    return ["train", "validation"][: len(parts)]


def _rows(part: CheckedPart) -> Iterator[tuple[int, dict[str, Any]]]:
    """The kept rows and their cells, read by the thousand: one by one takes half a minute for 100,000 rows."""
    columns = columns_of(part.part.index).select(_CELLS)
    rows = part.kept.row_of
    for first in range(0, len(rows), _BATCH_ROWS):
        batch = rows[first : first + _BATCH_ROWS]
        yield from zip(batch.tolist(), columns.take(pa.array(batch)).to_pylist(), strict=True)


def _columns(data: DataConfig, part: CheckedPart) -> dict[str, str]:
    """Columns of the manifest besides audio and split, and the cells of an index that they are."""
    index = part.part.index
    columns = {part.source.text_column or data.text_column: "text"}
    if index.has_any("start_s") or index.has_any("end_s"):
        columns |= {"start": "start_s", "end": "end_s"}
    for name in ("group", "language", "task", "prompt"):
        column = getattr(data, f"{name}_column")
        if column is not None and (index.has_any(name) or name != "language"):
            columns[column] = name
    return columns


def _relative(path: Path, inside: str, paths: AudioPaths) -> str:
    """`path` from the folder `inside`, which ends with a separator, on; absolute where it is not in there.

    `paths` notes down whether it leads outside.
    """
    name = os.path.abspath(path).removeprefix(inside)
    paths.path(name)
    return name


# -- recordings that are no files


def _own_file(part: CheckedPart, cells: dict[str, Any]) -> Path | None:
    """The file that is the recording, or is cut by the row; None where the recording lies in something larger."""
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
                f"--write_clean: the recordings of {part.source.name_or_path!r} are no files of their own, and a "
                "manifest names files; add --extract_audio FOLDER to write them as files there"
            )


def _refuse_own_source(target: Path, parts: list[CheckedPart]) -> None:
    for part in parts:
        read = {os.path.realpath(path) for path, _ in part.part.index.facts["dependencies"]}
        if os.path.realpath(target) in read:
            raise UserError(f"--write_clean: {str(target)!r} is what is checked; give another name")


def _extract(part: CheckedPart, row: int, folder: Path) -> Path:
    """Write one encoded recording, as it is, to a file that is named after its row."""
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
    """`wav`, `flac`, `mp3`, ...: by what it is."""
    kind = pyav_kind(content)
    if kind is None:
        try:
            kind = soundfile.info(BytesIO(content)).format.lower()
        except soundfile.LibsndfileError:
            kind = "audio"
    return {"wavex": "wav", "rf64": "wav"}.get(kind, kind)
