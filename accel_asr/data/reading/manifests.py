"""Read manifests: tables of recordings and texts in CSV, TSV, JSON lines or Parquet."""

import codecs
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import named
from accel_asr.data.reading.json_documents import rows_of_document
from accel_asr.data.reading.ljspeech_tables import read_ljspeech_table
from accel_asr.data.reading.separated_text import read_separated
from accel_asr.data.reading.source_table import SourceTable, Table, refuse_twins
from accel_asr.data.reading.split_names import choose_splits, kind_of
from accel_asr.errors import UserError

METADATA_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")  # looked for in a folder
MANIFEST_SUFFIXES = (*METADATA_SUFFIXES, ".json")  # NeMo calls its JSON lines .json
SPLIT_COLUMN = "split"
_SPLIT_NAMES = ("set", "subset", "partition", "part", "usage", "fold")  # where all that they hold are names of splits
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
        if suffix in MANIFEST_SUFFIXES and _starts_with(path, b"version https://git-lfs"):
            raise ValueError("it is a pointer of Git LFS, without the content; fetch that with `git lfs pull`")
        if suffix != ".parquet" and suffix in MANIFEST_SUFFIXES and _starts_with(path, b"PAR1"):
            raise ValueError("it is a Parquet file; rename it so that it ends with .parquet")
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


def _starts_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


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
    document = _parsed(content) if content.lstrip()[:1] == "[" else _one_object(content)
    records = rows_of_document(document)
    if records is None and document is not None and "\n" in content.strip():
        records = [document]  # one row over several lines
    return _columns(*_read_json_lines(content)) if records is None else _columns(records, lines=())


def _one_object(content: str) -> Any:
    """The object, if a file is one and no more; None if it may be lines of objects."""
    content = content.strip()
    try:
        _, end = json.JSONDecoder().raw_decode(content)
        return _parsed(content) if end == len(content) else None
    except (ValueError, RecursionError):
        return None


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


def said_splits(table: Table) -> tuple[list[str], str] | None:
    """What each row says of its split, and where: in a column `split`, in one of the same sense that holds nothing but
    names of splits, or in the folders of an audiofolder's files, `train/a.wav`. None where rows don't say it.
    """
    by_name = {name.lower(): name for name in reversed(list(table))}
    column = SPLIT_COLUMN if SPLIT_COLUMN in table else by_name.get(SPLIT_COLUMN)
    if column is not None:
        return ["" if cell is None else str(cell).strip() for cell in table[column]], f"column {column!r}"
    for name in _SPLIT_NAMES:
        if name in by_name and _tell_splits_apart(table[by_name[name]]):
            return [str(cell).strip() for cell in table[by_name[name]]], f"column {by_name[name]!r}"
    files = table.get("file_name", [])
    paths = [cell.replace("\\", "/").split("/")[:-1] if isinstance(cell, str) else [] for cell in files]
    for folders in zip(*paths, strict=False):
        if _tell_splits_apart(folders):
            return list(folders), "folders in 'file_name'"
    return None


def _tell_splits_apart(cells: Sequence[Any]) -> bool:
    """Whether all cells are names of splits, and of at least two kinds."""
    kinds = {kind_of(cell) if isinstance(cell, str) else None for cell in cells}
    return None not in kinds and len(kinds) > 1


def select_split(table: Table, *, split: str, manifest: Path, any_lone: bool = False) -> tuple[Table, list[str]]:
    """The rows that say that they are of `split`, or of another name for it; all where they say nothing of splits.

    Returns:
        The rows, and a notice where the split has another name, or its column.

    Raises:
        UserError: no row is of it; names the splits that there are.
    """
    found = said_splits(table)
    if found is None:
        return table, []
    said, place = found
    chosen, notices = choose_splits(split, said, where=repr(str(manifest)), any_lone=any_lone)
    meant = {name.lower() for name in chosen}  # Train and train are one split
    wanted = [index for index, name in enumerate(said) if name.lower() in meant]
    if SPLIT_COLUMN not in table:
        notices.append(f"{split}: {len(wanted):,} of {len(said):,} rows, by the {place}")
    if nowhere := sum(name in ("", "None") for name in said):
        notices.append(f"{nowhere:,} of {len(said):,} rows are of no split: their {place} is empty")
    return (table if isinstance(table, SourceTable) else SourceTable(table)).select(wanted), notices
