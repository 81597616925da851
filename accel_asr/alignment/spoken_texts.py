"""What to align: recordings with a text beside each, tables of recordings and texts, or one recording and its text."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accel_asr.config.settings import DataConfig
from accel_asr.data.reading.columns import text_of
from accel_asr.data.reading.manifests import MANIFEST_SUFFIXES, find_manifest
from accel_asr.data.reading.rows import ReadableTable, Row, RowColumns, rows_of
from accel_asr.data.reading.source_table import SourceTable, first_few
from accel_asr.data.reading.table_files import LocalName, tables_as_one
from accel_asr.data.reading.text_files import TEXT_SUFFIX
from accel_asr.errors import SeveralProblemsError, UserError, raise_all
from accel_asr.files.regular_files import read_regular_text
from accel_asr.transcription.inputs import Recording, find_recordings

FILE = "FILE"  # as in `find_recordings`
_TEXT_FILE_COLUMNS = ("text_file", "text_path", "transcript_file", "transcript_path")
_COLUMN_SETTINGS = ("--data.audio_column", "--data.text_column")


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A recording, or the part of it from `start_s` to `end_s`, and what should be said in it.

    Args:
        name: For messages.
        language: As a table gives it.
        problem: Why it can't be aligned.
    """

    name: str
    path: Path
    text: str
    start_s: float | None = None
    end_s: float | None = None
    language: str | None = None
    problem: str | None = None


def find_spoken_texts(
    arguments: Sequence[str], *, text_file: Path | None, own_manifest: Path, allow_outside: bool = False
) -> tuple[list[SpokenText], list[str]]:
    """The recordings that the arguments name and their texts, in order, each once.

    A recording that has no text where others have one, or whose text can't be read, has a `problem`.

    Args:
        text_file: The text of the only recording; else each recording's text is the .txt beside it, of the same name.
        own_manifest: What this command writes: a folder that holds it is still a folder of recordings.
        allow_outside: Tables may name files outside of their folder.

    Returns:
        The recordings, and notes for the user.

    Raises:
        UserError: an argument names no recording or none with a text; a table is unfit; `text_file` can't be read, or
            is the text of several recordings.
    """
    if text_file is not None:
        return _of_one_text(arguments, text_file)
    given: list[SpokenText] = []
    notes: list[str] = []
    problems: list[UserError] = []
    for argument in _without_texts_of_others(arguments):
        try:
            table = _table(Path(argument), own_manifest=own_manifest)
            if table is not None:
                texts, more = _of_table(table, allow_outside=allow_outside)
            else:
                texts, more = _with_texts_beside(argument)
        except UserError as error:
            problems.append(error)
            continue
        given += texts
        notes += more
    raise_all(problems)
    first: dict[tuple[str, float | None, float | None], SpokenText] = {}
    for spoken in given:
        place = os.path.abspath(spoken.path) if spoken.path.name else spoken.name
        first.setdefault((place, spoken.start_s, spoken.end_s), spoken)
    return list(first.values()), notes


def _of_one_text(arguments: Sequence[str], text_file: Path) -> tuple[list[SpokenText], list[str]]:
    recordings, notes = find_recordings(arguments)
    if len(recordings) > 1:
        raise UserError(
            f"is the text of one recording, and {len(recordings):,} are given",
            setting="--text",
            value=text_file,
            remedy=f"put the text of each beside it, as a {TEXT_SUFFIX} of the same name",
        )
    text, problem = _read(text_file)
    if problem is not None:
        raise UserError(problem, setting="--text", value=text_file)
    return [replace(_spoken(recordings[0]), text=text)], notes


def _without_texts_of_others(arguments: Sequence[str]) -> list[str]:
    """The arguments without texts that lie beside recordings among them, as `talks/*` names both."""
    stems = {os.path.splitext(argument)[0] for argument in arguments if not _is_text(argument)}
    return [argument for argument in arguments if not (_is_text(argument) and os.path.splitext(argument)[0] in stems)]


def _is_text(argument: str) -> bool:
    return argument.lower().endswith(TEXT_SUFFIX)


def _spoken(recording: Recording) -> SpokenText:
    if recording.path is None:
        raise UserError("align reads files", setting=FILE, value="-", remedy="write the recording to a file first")
    return SpokenText(recording.name, recording.path, "")


# -- texts beside recordings


def _with_texts_beside(argument: str) -> tuple[list[SpokenText], list[str]]:
    if _is_text(argument):
        remedy = "name the recording, and give its text by --text"
        raise UserError("is a text, and no recording lies beside it", setting=FILE, value=argument, remedy=remedy)
    recordings, notes = find_recordings([argument])
    spoken = [_with_text_beside(_spoken(recording)) for recording in recordings]
    if all(one is None for one in spoken):
        problem = "has no text beside it" if len(spoken) == 1 else f"none of {len(spoken):,} recordings has a text"
        example = recordings[0].path.with_suffix(TEXT_SUFFIX) if recordings[0].path else TEXT_SUFFIX
        raise UserError(problem, setting=FILE, value=argument, remedy=f"write it to {example}, or give --text FILE")
    without = [recording.name for recording, one in zip(recordings, spoken, strict=True) if one is None]
    if without:
        notes = [
            *notes,
            f"{len(without):,} of {len(spoken):,} recordings have no text beside them: {first_few(without)}",
        ]
    return [one for one in spoken if one is not None], notes


def _with_text_beside(recording: SpokenText) -> SpokenText | None:
    """The recording `a.mp3` with the text of `a.txt`, or of `a.mp3.txt`; None where there is neither."""
    names = [recording.path.with_suffix(suffix) for suffix in (TEXT_SUFFIX, TEXT_SUFFIX.upper())]
    names += [recording.path.with_name(recording.path.name + TEXT_SUFFIX)]
    beside = next((name for name in names if name.is_file()), None)
    if beside is None:
        return None
    text, problem = _read(beside)
    return replace(recording, text=text, problem=problem and f"its text {beside.name} {problem}")


def _read(path: Path) -> tuple[str, str | None]:
    """(text, what is wrong with it)."""
    try:
        text = read_regular_text(path)
    except UnicodeDecodeError:
        return "", "is not UTF-8 text; save it as UTF-8"
    except OSError as error:
        return "", f"can't be read ({error.strerror})"
    return text, None if text.strip() else "is empty"


# -- tables


def _table(path: Path, *, own_manifest: Path) -> Path | None:
    """The table that an argument names, itself or as the manifest of a folder."""
    if path.is_file():
        return path if path.suffix.lower() in MANIFEST_SUFFIXES else None
    manifest = find_manifest(path) if path.is_dir() else None
    is_own = manifest is not None and os.path.realpath(manifest) == os.path.realpath(own_manifest)
    return None if is_own else manifest


def _of_table(table: Path, *, allow_outside: bool) -> tuple[list[SpokenText], list[str]]:
    """All rows of a table, whatever their split."""
    name = LocalName(table, "train", DataConfig.audio_column, DataConfig.text_column, allow_outside=allow_outside)
    try:
        source = tables_as_one(name, table.parent, [table.name], is_one_split=True, texts_elsewhere=False)
        if not any(source.table.values()):
            raise UserError("has no rows", setting=FILE, value=table)
        source, faults = _with_texts_of_files(source)
        rows, notices, _ = rows_of(source, RowColumns(language=DataConfig.language_column))
    except UserError as error:
        raise SeveralProblemsError(_of_input(single, table) for single in error.errors) from error
    spoken = [_of_row(row, table, fault=fault) for row, fault in zip(rows, faults, strict=True)]
    return spoken, [f"{table}: {notice}" for notice in notices]


def _with_texts_of_files(source: ReadableTable) -> tuple[ReadableTable, list[str | None]]:
    """The table with the content of the files that a column `text_file` names, and what is wrong with each.

    Raises:
        UserError: a text lies outside of the table's folder.
    """
    table = source.table
    cells = next(iter(table.values()))
    column = next((name for name in table if name.lower() in _TEXT_FILE_COLUMNS), None)
    if column is None or DataConfig.text_column in table or source.paths is None:
        return source, [None] * len(cells)
    names = [text_of(cell) for cell in table[column]]
    paths = [source.paths.path(name) if name else None for name in names]
    source.paths.refuse_bad()
    read = [("", "has no file") if path is None else _read(path) for path in paths]
    faults = [fault and f"its text {name or ''} {fault}" for name, (_, fault) in zip(names, read, strict=True)]
    texts: list[Any] = [text for text, _ in read]
    with_texts = {name: values for name, values in table.items() if name != column} | {DataConfig.text_column: texts}
    lines = table.lines if isinstance(table, SourceTable) else ()
    return replace(source, table=SourceTable(with_texts, lines=lines)), faults


def _of_input(error: UserError, table: Path) -> UserError:
    """An error about the settings of a run as one about the argument."""
    if error.setting == "--data.allow_outside_paths":
        remedy = "move them inside, or add --allow_outside_paths if you trust whoever wrote the table"
        return error.but(setting=FILE, value=table, problem=f"names {error.problem}", remedy=remedy)
    if error.setting in _COLUMN_SETTINGS:
        remedy = "name the columns audio and text"
        return error.but(setting=FILE, value=table, problem=f"{error.value!r}: {error.problem}", remedy=remedy)
    return error.but(setting=FILE, value=table)


def _of_row(row: Row, table: Path, *, fault: str | None) -> SpokenText:
    text = row.text or ""
    if not isinstance(row.audio, Path):
        no_file = "the table names no file of its own for it; write the recording to one"
        return SpokenText(f"{table}: {row.utterance_id}", Path(), text, problem=row.problem or no_file)
    is_part = row.start_s is not None or row.end_s is not None
    part = f"[{row.start_s or 0:.3f}-{'' if row.end_s is None else f'{row.end_s:.3f}'}]" if is_part else ""
    problem = row.problem or fault or (None if text.strip() else "it has no text")
    return SpokenText(f"{row.audio}{part}", row.audio, text, row.start_s, row.end_s, row.language, problem)
