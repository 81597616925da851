"""A whole file that is one JSON value: the shapes in which programs write a table, as a list of rows."""

import os
from collections.abc import Mapping
from typing import Any

from accel_asr.data.reading.text_files import AUDIO_SUFFIXES

_KEY_COLUMN = "key"  # of an object of rows: what each of them is called
_AUDIO_COLUMN, _TEXT_COLUMN = "audio", "text"


def rows_of_document(document: Any) -> list[dict[str, Any]] | None:
    """The rows of an array of objects, of an object of rows (SpeechBrain's), of columns (pandas') or of texts by file.

    An object of rows by name gives them a column `key`, or `audio` where the names are those of files. An array that
    stands among other values, as in `{"version": 1, "data": [...]}`, is the table if its rows name audio and what is
    beside it does not.

    Returns:
        None for any other value, such as an object that is itself a row.

    Raises:
        ValueError: it is an array of something else than objects.
    """
    if isinstance(document, list):
        if not all(isinstance(record, dict) for record in document):
            raise ValueError("it is a JSON array, but not of objects")
        return document
    if not isinstance(document, dict) or not document or any(map(_is_audio, document.values())):
        return None
    tables = [value for value in document.values() if isinstance(value, list) and value and _are_rows(value)]
    return _rows_by_name(document) or _rows_of_columns(document) or (tables[0] if len(tables) == 1 else None)


def _rows_by_name(document: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of an object that holds each under its name, or each text under its file."""
    values = list(document.values())
    are_files = all(map(_is_audio, document))
    if are_files and all(isinstance(value, str) for value in values):
        return [{_AUDIO_COLUMN: name, _TEXT_COLUMN: text} for name, text in document.items()]
    if are_files and all(isinstance(value, dict) for value in values):
        return [{_AUDIO_COLUMN: name, **row} for name, row in document.items()]
    is_column = any(isinstance(value, dict) and value and all(map(_is_audio, value.values())) for value in values)
    if _are_rows(values) and (not is_column or len({*map(len, values)}) > 1 or len(values[0]) == 1):
        return [{_KEY_COLUMN: name, **row} for name, row in document.items()]
    return None


def _rows_of_columns(document: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of an object of columns, which are arrays of one length, or objects with the same row names."""
    columns = [
        value if isinstance(value, list) else [*value.values()] for value in document.values() if _is_many(value)
    ]
    row_names = [[*value] for value in document.values() if isinstance(value, dict)]
    if (
        len(columns) < len(document)
        or len({*map(len, columns)}) != 1
        or any(names != row_names[0] for names in row_names)
    ):
        return None
    if not any(column and all(map(_is_audio, column)) for column in columns):
        return None
    return [dict(zip(document, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _is_many(value: Any) -> bool:
    return isinstance(value, list | dict)


def _is_audio(value: Any) -> bool:
    """Whether a value names an audio file, or is a structure that does."""
    if isinstance(value, Mapping):
        value = value.get("path")
    return isinstance(value, str) and os.path.splitext(value.lower())[1] in AUDIO_SUFFIXES


def _are_rows(values: list[Any]) -> bool:
    return all(isinstance(row, dict) and any(map(_is_audio, row.values())) for row in values)
