"""From a table of any source to rows: one recording, or a segment of one, with its text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accel_asr.audio.byte_ranges import ByteRange, DatasetCell
from accel_asr.config.settings import DataConfig
from accel_asr.console.public_text import visible
from accel_asr.data.reading.audio_paths import AudioPaths
from accel_asr.data.reading.columns import (
    COMMON_VOICE_COLUMNS,
    column_as_text,
    find_columns,
    require_column,
    text_of,
    texts_of,
)
from accel_asr.data.reading.row_segments import find_segments
from accel_asr.data.reading.source_table import SourceTable, Table
from accel_asr.data.reading.time_columns import TimeSettings
from accel_asr.data.text_processing import comparable
from accel_asr.model.languages import language_code

# what a column of speakers is called, in lower case and without marks between words
SPEAKER_NAMES = ("speaker", "speakerid", "speakername", "spk", "spkid", "clientid", "talker", "talkerid", "readerid")

LANGUAGE_NAMES = ("language", "lang", "locale", "language_code", "lang_code")
_CODE = re.compile(r"[A-Za-z]{2,3}([-_]\w+)?$")  # of a language, known to Whisper or not
ID_COLUMN = "utterance_id"  # names the rows of a manifest
_MAX_ID = 1_000  # letters; longer ones are no names

Audio = bytes | Path | ByteRange | DatasetCell


@dataclass(frozen=True, slots=True)
class Row:
    """One recording, or the segment of it from `start_s` to `end_s`, and its text, not yet decoded.

    `audio` is the encoded file's bytes, its path, where it lies in a larger file, or None where the source holds none.
    `group` is what the rows that must stay together share, such as the speaker. `language` and `task` are as the
    source says them; `prompt` is the text that came before; `breakdown` are the cells of those columns. `stated_s` is
    how long the source says that the whole recording is; `problem` says why the row can't be used. `speaker` is the
    cell of a column that is called like one.
    """

    utterance_id: str
    audio: Audio | None
    text: str | None
    start_s: float | None = None
    end_s: float | None = None
    group: str | None = None
    language: str | None = None
    task: str | None = None
    prompt: str | None = None
    breakdown: tuple[str | None, ...] = ()
    stated_s: float | None = None
    problem: str | None = None
    speaker: str | None = None


@dataclass(frozen=True)
class RowColumns:
    """Names of the columns that say more about a row; None for what is not looked for.

    `breakdown` are those by which scores are told.
    """

    group: str | None = None
    language: str | None = None
    task: str | None = None
    prompt: str | None = None
    breakdown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A table and how to read it.

    `paths` resolves the names of its audio files; None where the cells say themselves where they are. `id_prefix` names
    the rows, or `id_column` does; with neither it is their files. `is_manifest` tables may be Common Voice's.
    `dependencies` are the files and folders that the table was read from.
    """

    table: Table
    notices: list[str]
    audio_column: str
    text_column: str
    paths: AudioPaths | None = None
    id_prefix: str | None = None
    is_manifest: bool = False
    id_column: str | None = None
    dependencies: tuple[Path, ...] = ()
    dataset: Any = None  # of the library `datasets`, where cells are `DatasetCell`s


def rows_of(found: Found, columns: RowColumns, times: TimeSettings | None = None) -> tuple[list[Row], list[str], str]:
    """Rows with unique ids, in order, all notices, and the name of the audio column.

    Raises:
        UserError: a column is missing; a segment is impossible; a path is a URL, or leads out of the folder.
    """
    table = found.table
    main = find_columns(table, audio_column=found.audio_column, text_column=found.text_column)
    audios = table[main.audio]
    segments = find_segments(
        table, times or TimeSettings(), audio_column=main.audio, others=columns_in_use(main.text, columns)
    )
    columns, told = _with_language_column(table, columns)
    notices = [*(table.notices if isinstance(table, SourceTable) else ()), *found.notices, *main.notices]
    notices += [*segments.notices, *told]
    by_text = columns.group is not None and columns.group == main.text
    by_text |= columns.group == DataConfig.text_column not in table  # the text, whatever this source calls it
    more = _more_of_each_row(table, replace(columns, group=None) if by_text else columns, rows=len(audios))
    if by_text:
        more[0] = [comparable(str(text)) or None if text is not None else None for text in table[main.text]]
    speaker_column = speaker_column_of(table)
    speakers = column_as_text(table[speaker_column]) if speaker_column else [None] * len(audios)
    parts_of_rows = _breakdown_of_each_row(table, columns.breakdown, rows=len(audios))
    id_column = found.id_column or (_column_of_ids(table) if found.is_manifest else None)
    subfolder = ""
    if found.is_manifest and found.paths and (main.audio, main.text) == COMMON_VOICE_COLUMNS:
        subfolder = _common_voice_folder(audios, folder=found.paths.folder)
    rows: list[Row] = []
    written: list[str | None] = []
    seen: set[str] = set()
    texts = texts_of(table[main.text])
    for index, (audio, text, said) in enumerate(zip(audios, texts, zip(*more, strict=True), strict=True)):
        name = file_name(audio)
        start_s, end_s = segments.spans[index]
        if id_column:
            utterance_id = str(table[id_column][index])
        else:
            utterance_id = _utterance_id(name, index, id_prefix=found.id_prefix, start_s=start_s, end_s=end_s)
        utterance_id = visible(utterance_id)  # it is printed, and written into lists, wherever the row is spoken of
        while utterance_id in seen:
            utterance_id = f"{utterance_id}#{index}"
        seen.add(utterance_id)
        content = _content(audio)
        if content is None and name:
            name = subfolder + name
            content = found.paths.path(name) if found.paths else Path(name)
        group, language, task, prompt = said
        row = Row(utterance_id, content, text, start_s, end_s, group, language, task, prompt, parts_of_rows[index])
        if segments.stated_s[index] is not None:
            row = replace(row, stated_s=segments.stated_s[index])
        if speakers[index] is not None:
            row = replace(row, speaker=speakers[index])
        rows.append(row)
        written.append(name)
    if found.paths:
        found.paths.refuse_bad()
        rows = _without_doubtful_files(rows, written, found.paths)
        notices += found.paths.notices()
    return rows, notices, main.audio


def _without_doubtful_files(rows: list[Row], written: list[str | None], paths: AudioPaths) -> list[Row]:
    """The rows; those with a problem whose file is not there, while one that is named alike may be meant or not.

    Args:
        written: The names as the rows have them.
    """
    names_of: dict[Path, set[str]] = {path: set() for path in paths.respelled.values()}
    for row, name in zip(rows, written, strict=True):
        if name and isinstance(row.audio, Path) and row.audio in names_of:
            names_of[row.audio].add(name.replace("\\", "/"))
    problems = dict(paths.hints)
    for name, path in paths.respelled.items():
        if len(names_of[path]) > 1:
            problems[name] = f"the file does not exist; {path.name!r} is named alike, and is another row's"
    if not problems:
        return rows
    return [
        replace(row, problem=problems[name]) if name in problems and isinstance(row.audio, Path) else row
        for row, name in zip(rows, written, strict=True)
    ]


def columns_in_use(text_column: str, columns: RowColumns) -> set[str]:
    """Columns that mean something else than times."""
    names = (text_column, columns.group, columns.language, columns.task, columns.prompt)
    return {name for name in names if name is not None}


def _column_of_ids(table: Table) -> str | None:
    """The column that names the rows, in a manifest that check-data wrote."""
    cells = table.get(ID_COLUMN)
    if not cells or not all(isinstance(cell, str) and 0 < len(cell.strip()) <= _MAX_ID for cell in cells):
        return None
    return ID_COLUMN if len(set(cells)) == len(cells) else None


def speaker_column_of(table: Mapping[str, Any]) -> str | None:
    """The column that says who speaks, by its name."""
    by_name = {name.lower().replace("_", "").replace("-", "").replace(" ", ""): name for name in reversed(list(table))}
    return next((by_name[name] for name in SPEAKER_NAMES if name in by_name), None)


def _with_language_column(table: Table, columns: RowColumns) -> tuple[RowColumns, list[str]]:
    """The columns, with another than `language` where one says what is spoken by its name and all its cells."""
    if columns.language != DataConfig.language_column or columns.language in table:
        return columns, []
    by_name = {name.lower(): name for name in reversed(list(table))}
    for name in LANGUAGE_NAMES:
        said = set(column_as_text(table[by_name[name]])) - {None} if name in by_name else set()
        if said and (
            name == DataConfig.language_column
            or all(cell and (language_code(cell) or _CODE.match(cell)) for cell in said)
        ):
            told = f"the language of each row is read from the column {by_name[name]!r}"
            return replace(columns, language=by_name[name]), [told]
    return columns, []


def _more_of_each_row(table: Table, columns: RowColumns, *, rows: int) -> list[list[str | None]]:
    """The cells of group, language, task and prompt, in this order.

    Raises:
        UserError: a column that was asked for by name is missing.
    """
    cells: list[list[str | None]] = []
    for name in ("group", "language", "task", "prompt"):
        column = getattr(columns, name)
        if column is not None and column not in table and (name, column) != ("language", DataConfig.language_column):
            require_column(table, f"data.{name}_column", column)
        cells.append(column_as_text(table[column]) if column in table else [None] * rows)
    return cells


def _breakdown_of_each_row(table: Table, names: Sequence[str], *, rows: int) -> list[tuple[str | None, ...]]:
    """The cells of the columns by which scores are told.

    Raises:
        UserError: a column is missing.
    """
    for name in names:
        require_column(table, "data.breakdown_columns", name)
    cells = [column_as_text(table[name]) for name in names]
    return list(zip(*cells, strict=True)) if cells else [()] * rows


def _utterance_id(
    name: str | None, index: int, *, id_prefix: str | None, start_s: float | None, end_s: float | None
) -> str:
    """`<split>-<row>` where splits have their own tables; else the file's name as given, with the segment's times."""
    if id_prefix is not None or not name:
        return f"{id_prefix or 'row'}-{index:06d}"
    if start_s is None and end_s is None:
        return name
    return f"{name}[{start_s or 0:.3f}-{'' if end_s is None else f'{end_s:.3f}'}]"


def _common_voice_folder(audios: list[Any], *, folder: Path) -> str:
    """`clips/` where Common Voice's own layout is kept: its tables name the files in there by their bare names."""
    first = next((name for name in map(file_name, audios) if name), None)
    return "clips/" if first and (folder / "clips").is_dir() and not (folder / first).exists() else ""


def file_name(audio: Any) -> str | None:
    """The name of the file that an audio cell refers to, if it has one."""
    if isinstance(audio, Mapping | DatasetCell):
        name = audio.path if isinstance(audio, DatasetCell) else audio.get("path")
    else:
        name = audio
    return text_of(name) or None if not isinstance(name, bytes | ByteRange) else None


def _content(audio: Any) -> Audio | None:
    """The encoded file that an audio cell holds itself, or knows where to find."""
    content = audio.get("bytes") if isinstance(audio, Mapping) else audio
    return content if isinstance(content, bytes | ByteRange | DatasetCell) else None
