"""Tables in JSON: one object a line, or one value in any of the shapes in which programs write a table."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from accel_asr.data.reading.source_table import SourceTable, first_few, refuse_equal_names
from accel_asr.data.reading.text_files import AUDIO_SUFFIXES

MAX_DEPTH = 64
_KEY_COLUMN = "key"  # for the names of the rows in an object of rows
_AUDIO_COLUMN, _TEXT_COLUMN = "audio", "text"


def read_json(content: str) -> SourceTable:
    """The columns of JSON lines, or of one JSON document, as `rows_of_document`. NaN becomes None.

    Raises:
        ValueError, RecursionError: malformed; names the lines where it can.
    """
    document = _parsed(content) if content.lstrip()[:1] == "[" else _single_object(content)
    records = rows_of_document(document)
    if records is None and document is not None and "\n" in content.strip():
        records = [document]  # one row over several lines
    return _columns(*_read_json_lines(content)) if records is None else _columns(records, lines=())


def rows_of_document(document: Any) -> list[dict[str, Any]] | None:
    """The rows of an array of objects, of an object of rows (SpeechBrain's), of columns (pandas') or of texts by file.

    An object of rows by name gives them a column `key`, or `audio` if the names are files'. An array among other
    values, as in `{"version": 1, "data": [...]}`, is the table if its rows name audio and the other values do not.

    Returns:
        None for any other value, such as an object that is a row itself.

    Raises:
        ValueError: an array of something other than objects.
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
        value if isinstance(value, list) else [*value.values()]
        for value in document.values()
        if isinstance(value, list | dict)
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


def _is_audio(value: Any) -> bool:
    """Whether a value names an audio file, or is a structure that does."""
    if isinstance(value, Mapping):
        value = value.get("path")
    return isinstance(value, str) and os.path.splitext(value.lower())[1] in AUDIO_SUFFIXES


def _are_rows(values: list[Any]) -> bool:
    return all(isinstance(row, dict) and any(map(_is_audio, row.values())) for row in values)


def _single_object(content: str) -> Any:
    """The object, if the content is one and nothing else; None if it may be lines of objects."""
    content = content.strip()
    try:
        _, end = json.JSONDecoder().raw_decode(content)
        return _parsed(content) if end == len(content) else None
    except (ValueError, RecursionError):
        return None


def _read_json_lines(content: str) -> tuple[list[dict[str, Any]], list[int]]:
    """The objects, and their line numbers. Inside of JSON, line ends of every kind are escaped."""
    records, numbers, faults = [], [], []
    lines = re.split(r"\r\n|\r|\n", content)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = _parsed(line)
        except (ValueError, RecursionError) as error:
            is_cut = number == len(lines)  # a complete file mostly ends with a line break
            faults.append(f"line {number} is not JSON ({error}{'; it is the last one, and may be cut' * is_cut})")
            continue
        if not isinstance(record, dict):
            faults.append(f"line {number} is not a JSON object")
            continue
        records.append(record)
        numbers.append(number)
    if faults:
        more = f"; {len(faults):,} of {len(faults) + len(records):,} lines are" if len(faults) > 1 else ""
        raise ValueError(first_few(faults) + more)
    return records, numbers


def _parsed(text: str) -> Any:
    value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_deep(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        refuse_equal_names([name for name, _ in pairs])
    return record


def _constant(name: str) -> float | None:
    return None if name == "NaN" else float(name)


def _refuse_deep(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        nested = [cell for cell in level if isinstance(cell, list | dict)]
        level = [inner for cell in nested for inner in (cell.values() if isinstance(cell, dict) else cell)]
        if not level:
            return
    raise ValueError(f"values are nested more than {MAX_DEPTH} deep")  # printing one would overflow the stack


def _columns(records: list[dict[str, Any]], lines: Sequence[int]) -> SourceTable:
    names = dict.fromkeys(name for record in records for name in record)
    return SourceTable({name: [record.get(name) for record in records] for name in names}, lines=lines)
