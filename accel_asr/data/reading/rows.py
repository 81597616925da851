"""From the table of any source to rows: each is one recording, or a segment of one, with its text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accel_asr.audio.decoding import ByteRange
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
from accel_asr.data.reading.source_table import DatasetCell, SourceTable, Table
from accel_asr.data.reading.time_columns import TimeSettings
from accel_asr.data.text_processing import comparable
from accel_asr.model.languages import language_code

# usual names of a column of speakers, in lower case and without marks between words
SPEAKER_NAMES = ("speaker", "speakerid", "speakername", "spk", "spkid", "clientid", "talker", "talkerid", "readerid")
LANGUAGE_NAMES = ("language", "lang", "locale", "language_code", "lang_code")
_CODE = re.compile(r"[A-Za-z]{2,3}([-_]\w+)?$")  # of a language, known to Whisper or not
ID_COLUMN = "utterance_id"  # names the rows of a manifest
_MAX_ID = 1_000  # letters; longer ones are not names

Audio = bytes | Path | ByteRange | DatasetCell


@dataclass(frozen=True, slots=True)
class Row:
    """One recording, or the segment of it from `start_s` to `end_s`, and its text, not yet decoded.

    Args:
        audio: The encoded file's bytes, its path, its place in a larger file, or None if the source holds none.
        group: What rows that must stay in one split share, such as the speaker.
        language: As the source gives it; so is `task`.
        prompt: The text that came before.
        breakdown: The cells of the columns by which scores are broken down, then those of further references.
        stated_s: How long the source says that the recording is.
        problem: Why the row can't be used.
        speaker: The cell of a column with a speaker's usual names.
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
    """Names of the columns that say more about a row; None for no column. Scores are broken down by `breakdown`;
    `references` hold further texts that would be right."""

    group: str | None = None
    language: str | None = None
    task: str | None = None
    prompt: str | None = None
    breakdown: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadableTable:
    """A table and how to read it.

    Args:
        paths: Resolves the names of its audio files; None if the cells say where they are.
        id_prefix: Names the rows, unless `id_column` does; without either, their files do.
        is_manifest: It may be Common Voice's, or have a column of ids.
        dependencies: The files and folders that it was read from.
        dataset: Of the library `datasets`, if cells are `DatasetCell`s.
        has_tiers: It was read from annotations, by the tier and the speaker that were asked for.
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
    dataset: Any = None
    has_tiers: bool = False


def rows_of(
    source: ReadableTable, columns: RowColumns, times: TimeSettings | None = None
) -> tuple[list[Row], list[str], str]:
    """Rows with unique ids, in order; all notices; and the name of the audio column.

    Raises:
        UserError: a column is missing, a segment is impossible, or a path is a URL or leads out of the folder.
    """
    table = source.table
    main = find_columns(table, audio_column=source.audio_column, text_column=source.text_column)
    audios = table[main.audio]
    segments = find_segments(
        table, times or TimeSettings(), audio_column=main.audio, others=columns_in_use(main.text, columns)
    )
    columns, language_notices = _with_language_column(table, columns)
    notices = [*(table.notices if isinstance(table, SourceTable) else ()), *source.notices, *main.notices]
    notices += [*segments.notices, *language_notices]
    details = _details(table, columns, text_column=main.text, rows=len(audios))
    speaker_column = speaker_column_of(table)
    speakers = column_as_text(table[speaker_column]) if speaker_column else [None] * len(audios)
    breakdowns = _breakdowns(table, columns, rows=len(audios))
    id_column = source.id_column or (_column_of_ids(table) if source.is_manifest else None)
    subfolder = ""
    if source.is_manifest and source.paths and (main.audio, main.text) == COMMON_VOICE_COLUMNS:
        subfolder = _common_voice_folder(audios, folder=source.paths.folder)
    rows: list[Row] = []
    written: list[str | None] = []
    seen: set[str] = set()
    texts = texts_of(table[main.text])
    for index, (audio, text, detail) in enumerate(zip(audios, texts, zip(*details, strict=True), strict=True)):
        name = file_name(audio)
        start_s, end_s = segments.spans[index]
        if id_column:
            utterance_id = str(table[id_column][index])
        else:
            utterance_id = _utterance_id(name, index, id_prefix=source.id_prefix, start_s=start_s, end_s=end_s)
        utterance_id = visible(utterance_id)  # it is printed and written into lists
        while utterance_id in seen:
            utterance_id = f"{utterance_id}#{index}"
        seen.add(utterance_id)
        content = _content(audio)
        if content is None and name:
            name = subfolder + name
            content = source.paths.path(name) if source.paths else Path(name)
        group, language, task, prompt = detail
        rows.append(
            Row(
                utterance_id,
                content,
                text,
                start_s,
                end_s,
                group,
                language,
                task,
                prompt,
                breakdowns[index],
                stated_s=segments.stated_s[index],
                speaker=speakers[index],
            )
        )
        written.append(name)
    if source.paths:
        source.paths.refuse_bad()
        rows = _with_doubtful_files_marked(rows, written, source.paths)
        notices += source.paths.notices()
    return rows, notices, main.audio


def _with_doubtful_files_marked(rows: list[Row], written: list[str | None], paths: AudioPaths) -> list[Row]:
    """The rows, with a problem where the file does not exist, and one of a similar name may or may not be meant.

    Args:
        written: The names as the source gives them.
    """
    names_of: dict[Path, set[str]] = {path: set() for path in paths.respelled.values()}
    for row, name in zip(rows, written, strict=True):
        if name and isinstance(row.audio, Path) and row.audio in names_of:
            names_of[row.audio].add(name.replace("\\", "/"))
    problems = dict(paths.hints)
    for name, path in paths.respelled.items():
        if len(names_of[path]) > 1:
            problems[name] = f"the file does not exist; {path.name!r} has a similar name, and is another row's"
    if not problems:
        return rows
    return [
        replace(row, problem=problems[name]) if name in problems and isinstance(row.audio, Path) else row
        for row, name in zip(rows, written, strict=True)
    ]


def columns_in_use(text_column: str, columns: RowColumns) -> set[str]:
    """Columns that can't hold times, since they mean something else."""
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


def language_column_of(table: Table, language_column: str | None) -> str | None:
    """The language column; if the default one is absent, the column that gives languages by its name and all cells."""
    if language_column != DataConfig.language_column or language_column in table:
        return language_column
    by_name = {name.lower(): name for name in reversed(list(table))}
    for name in LANGUAGE_NAMES:
        cells = set(column_as_text(table[by_name[name]])) - {None} if name in by_name else set()
        if cells and (
            name == DataConfig.language_column
            or all(cell and (language_code(cell) or _CODE.match(cell)) for cell in cells)
        ):
            return by_name[name]
    return language_column


def _with_language_column(table: Table, columns: RowColumns) -> tuple[RowColumns, list[str]]:
    language = language_column_of(table, columns.language)
    if language == columns.language:
        return columns, []
    return replace(columns, language=language), [f"the language of each row is read from the column {language!r}"]


def _details(table: Table, columns: RowColumns, *, text_column: str, rows: int) -> list[list[str | None]]:
    """The cells of group, language, task and prompt, in this order. A group may be the text, whatever its column.

    Raises:
        UserError: a column that was asked for by name is missing.
    """
    by_text = columns.group is not None and columns.group == text_column
    by_text |= columns.group == DataConfig.text_column not in table
    cells: list[list[str | None]] = []
    for name in ("group", "language", "task", "prompt"):
        column = getattr(columns, name)
        if name == "group" and by_text:
            texts = table[text_column]
            cells.append([comparable(str(text)) or None if text is not None else None for text in texts])
            continue
        if column is not None and column not in table and (name, column) != ("language", DataConfig.language_column):
            require_column(table, f"--data.{name}_column", column)
        cells.append(column_as_text(table[column]) if column in table else [None] * rows)
    return cells


def _breakdowns(table: Table, columns: RowColumns, *, rows: int) -> list[tuple[str | None, ...]]:
    """The cells of the columns by which scores are broken down, and then those of further references.

    Raises:
        UserError: a column is missing.
    """
    for setting, names in (("breakdown", columns.breakdown), ("reference", columns.references)):
        for name in names:
            require_column(table, f"--data.{setting}_columns", name)
    cells = [column_as_text(table[name]) for name in (*columns.breakdown, *columns.references)]
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
    """`clips/` in Common Voice's own layout, whose tables give the files in there by their bare names."""
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
