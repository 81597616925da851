"""Texts of a manifest that has no column of them: in files that a column `text_file` names, or in timed `segments`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import AudioPaths
from accel_asr.data.reading.columns import resolve_columns
from accel_asr.data.reading.source_table import SourceTable, Table, first_few, place_of_row, source_error
from accel_asr.files.regular_files import read_regular_text

TEXT_FILE, SEGMENTS = "text_file", "segments"


def with_texts_from_elsewhere(
    table: Table, *, audio_column: str, text_column: str, paths: AudioPaths, manifest: Path
) -> tuple[Table, tuple[Path, ...]]:
    """The table with a column of texts, and the files that they were read from; unchanged if it has that column.

    The lines of a file are joined. Segments, `[{"start": 0.0, "end": 1.5, "text": "..."}]`, become a text with written
    times, and a row that has both is read from its segments.

    Args:
        paths: Where the names of files begin, and what they may not leave.

    Raises:
        UserError: a file is missing, not UTF-8 or elsewhere; or a segment has no times.
    """
    if not any(table.values()) or not {TEXT_FILE, SEGMENTS} & set(table):
        return table, ()
    if resolve_columns(table, audio_column=audio_column, text_column=text_column).text in table:
        return table, ()
    rows = len(next(iter(table.values())))
    timed = _texts_of_segments(table, manifest) if SEGMENTS in table else [None] * rows
    texts = timed
    files: tuple[Path, ...] = ()
    if TEXT_FILE in table:
        of_files, files = _texts_of_files(table, paths, manifest)
        texts = [with_times or text for with_times, text in zip(timed, of_files, strict=True)]
    lines, notices = (table.lines, table.notices) if isinstance(table, SourceTable) else ([], [])
    places = " and ".join(repr(name) for name in (SEGMENTS, TEXT_FILE) if name in table)
    notices = [*notices, f"there is no column {text_column!r}; took the texts of {places}"]
    columns = {**table, text_column: texts}
    return SourceTable(columns, lines=lines, notices=notices, has_times=any(timed)), files


def _texts_of_files(table: Table, paths: AudioPaths, manifest: Path) -> tuple[list[str | None], tuple[Path, ...]]:
    names = [cell if isinstance(cell, str) and cell else None for cell in table[TEXT_FILE]]
    files = {name: paths.path(name) for name in names if name is not None}
    paths.refuse_bad()
    texts: dict[str, str] = {}
    unreadable: list[str] = []
    for row, name in enumerate(names):
        if name is None or name in texts:
            continue
        try:
            texts[name] = " ".join(read_regular_text(files[name]).split())
        except (OSError, UnicodeDecodeError) as error:
            unreadable.append(f"{place_of_row(table, row)}: {name} ({error})")
    if unreadable:
        problem = f"{len(unreadable):,} of its text files can't be read: {first_few(unreadable)}"
        raise source_error(problem, manifest, "give files in UTF-8, relative to the manifest")
    return [None if name is None else texts[name] for name in names], tuple(files.values())


def _texts_of_segments(table: Table, manifest: Path) -> list[str | None]:
    texts: list[str | None] = []
    wrong: list[str] = []
    for row, cell in enumerate(table[SEGMENTS]):
        try:
            texts.append(None if cell is None else "".join(map(_written, cell)))
        except (TypeError, ValueError, KeyError, OverflowError):
            wrong.append(place_of_row(table, row))
    if wrong:
        problem = f"{len(wrong):,} cells of 'segments' are no lists of start, end and text ({first_few(wrong)})"
        raise source_error(problem, manifest, 'write [{"start": 0.0, "end": 1.5, "text": "..."}]')
    return texts


def _written(segment: Mapping[str, Any]) -> str:
    start_s, end_s = float(segment["start"]), float(segment["end"])
    words = segment["text"].split() if segment["text"] is not None else []
    return f"<|{start_s:.3f}|> {' '.join(words)}<|{end_s:.3f}|>"
