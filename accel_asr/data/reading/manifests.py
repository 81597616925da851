"""Read manifests: tables of recordings and texts in CSV, TSV, JSON lines or Parquet."""

import codecs
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import named
from accel_asr.data.reading.ljspeech_tables import read_ljspeech_table
from accel_asr.data.reading.separated_text import read_separated
from accel_asr.data.reading.source_table import SourceTable, Table, refuse_twins
from accel_asr.data.reading.split_names import choose_splits
from accel_asr.errors import UserError

METADATA_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")  # looked for in a folder
MANIFEST_SUFFIXES = (*METADATA_SUFFIXES, ".json")  # NeMo calls its JSON lines .json
SPLIT_COLUMN = "split"
MAX_DEPTH = 64


def find_manifest(folder: Path) -> Path | None:
    """The manifest in a folder of audio, by the name that the audiofolder convention gives it."""
    for suffix in METADATA_SUFFIXES:
        for stem in ("metadata", "manifest"):
            if (folder / f"{stem}{suffix}").is_file():
                return folder / f"{stem}{suffix}"
    return None


def read_manifest(path: Path) -> SourceTable:
    """All columns of a CSV, TSV, JSON lines or Parquet file, by its ending. JSON is lines of objects or one array.

    A number that is none (NaN) becomes None: it is how data frames say that a cell is empty.

    Raises:
        UserError: not one of these, unreadable, or malformed; names the line where it can.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return _read_parquet(path)
        if suffix in (".jsonl", ".json"):
            return _read_json(_text_of(path))
        if suffix == ".csv" and (ljspeech := read_ljspeech_table(path)):
            return SourceTable(ljspeech)
        if suffix in (".csv", ".tsv"):
            return read_separated(_text_of(path), suffix=suffix)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        told = f"line {line} is not UTF-8 text ({error}); save the file as UTF-8"
        raise UserError(f"data.name_or_path: can't read {str(path)!r}: {told}") from error
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"data.name_or_path: can't read {str(path)!r}: {error}") from error
    raise UserError(
        f"data.name_or_path: {str(path)!r} is not a manifest; give one of {' '.join(MANIFEST_SUFFIXES)}, or a folder"
    )


def _read_parquet(path: Path) -> SourceTable:
    import pyarrow
    import pyarrow.parquet

    try:
        # `read_table` would add columns by the names of the folders that the file lies in
        with pyarrow.parquet.ParquetFile(path) as file:
            refuse_twins(file.schema_arrow.names)
            table = file.read()
        table.validate(full=True)  # offsets that lead out of the data are refused here, and not followed
        columns: dict[str, list[Any]] = table.to_pydict()
    except (pyarrow.ArrowException, ArithmeticError, TypeError) as error:  # also dates and decimals out of range
        raise ValueError(str(error) or type(error).__name__) from error
    for field in table.schema:
        if pyarrow.types.is_floating(field.type):
            columns[field.name] = [None if cell is None or math.isnan(cell) else cell for cell in columns[field.name]]
    return SourceTable(columns)


def _text_of(path: Path) -> str:
    """A text file's content: UTF-8, or UTF-16 where it begins with its mark, as Excel writes it."""
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _read_json(content: str) -> SourceTable:
    if content.lstrip()[:1] == "[":
        records = _parsed(content)
        if not all(isinstance(record, dict) for record in records):
            raise ValueError("it is a JSON array, but not of objects")
        return _columns(records, lines=())
    return _columns(*_read_json_lines(content))


def _read_json_lines(content: str) -> tuple[list[dict[str, Any]], list[int]]:
    """The objects, and their lines. No JSON text holds a bare end of a line, of whatever kind."""
    records, numbers, faults = [], [], []
    lines = re.split(r"\r\n|\r|\n", content)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = _parsed(line)
        except (ValueError, RecursionError) as error:
            is_cut = number == len(lines)  # what is whole ends with a line break, mostly
            faults.append(f"line {number} is not JSON ({error}{'; it is the last one, and may be cut' * is_cut})")
            continue
        if not isinstance(record, dict):
            faults.append(f"line {number} is not a JSON object")
            continue
        records.append(record)
        numbers.append(number)
    if faults:
        more = f"; {len(faults):,} of {len(faults) + len(records):,} lines are so" if len(faults) > 1 else ""
        raise ValueError(named(faults) + more)
    return records, numbers


def _parsed(text: str) -> Any:
    value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_deep(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        refuse_twins([name for name, _ in pairs])
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
    raise ValueError(f"values are nested more than {MAX_DEPTH} deep")  # to show one would take more stack than there is


def _columns(records: list[dict[str, Any]], lines: Sequence[int]) -> SourceTable:
    names = dict.fromkeys(name for record in records for name in record)
    return SourceTable({name: [record.get(name) for record in records] for name in names}, lines=lines)


def select_split(table: Table, *, split: str, manifest: Path, any_lone: bool = False) -> tuple[Table, list[str]]:
    """The rows whose `split` column says `split`, or another name for it; all of a manifest without such a column.

    Returns:
        The rows, and a notice where the column has another name for the split.

    Raises:
        UserError: the column never says so; names what it says.
    """
    if SPLIT_COLUMN not in table:
        return table, []
    said = [str(name).strip() for name in table[SPLIT_COLUMN]]
    chosen, notices = choose_splits(split, said, where=repr(str(manifest)), any_lone=any_lone)
    meant = {name.lower() for name in chosen}  # Train and train are one split
    wanted = [index for index, name in enumerate(said) if name.lower() in meant]
    if nowhere := sum(name in ("", "None") for name in said):
        notices.append(f"{nowhere:,} of {len(said):,} rows are of no split: their column {SPLIT_COLUMN!r} is empty")
    return (table if isinstance(table, SourceTable) else SourceTable(table)).select(wanted), notices
