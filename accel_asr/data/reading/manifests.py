"""Read manifests: tables of recordings and texts in CSV, TSV, JSON lines or Parquet."""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from accel_asr.data.reading.audio_paths import named
from accel_asr.data.reading.ljspeech_tables import read_ljspeech_table
from accel_asr.data.reading.split_names import choose_splits
from accel_asr.errors import UserError

METADATA_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")  # looked for in a folder
MANIFEST_SUFFIXES = (*METADATA_SUFFIXES, ".json")  # NeMo calls its JSON lines .json
SPLIT_COLUMN = "split"
MAX_DEPTH = 64

Table = Mapping[str, list[Any]]  # column name -> values; all columns equally long


def find_manifest(folder: Path) -> Path | None:
    """The manifest in a folder of audio, by the name that the audiofolder convention gives it."""
    for suffix in METADATA_SUFFIXES:
        for stem in ("metadata", "manifest"):
            if (folder / f"{stem}{suffix}").is_file():
                return folder / f"{stem}{suffix}"
    return None


def read_manifest(path: Path) -> Table:
    """All columns of a CSV, TSV, JSON lines or Parquet file, by its ending. A `.json` holds JSON lines or one array.

    A number that is none (NaN) becomes None: it is how data frames say that a cell is empty.

    Raises:
        UserError: not one of these, unreadable, or malformed; names the line where it can.
    """
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path)
        if path.suffix in (".jsonl", ".json"):
            return _columns(_read_json(path))
        if path.suffix == ".csv" and (ljspeech := read_ljspeech_table(path)):
            return ljspeech
        if path.suffix in (".csv", ".tsv"):
            return _read_separated(path)
    except UnicodeDecodeError as error:
        told = f"it is not UTF-8 text ({error}); save it as UTF-8"
        raise UserError(f"data.name_or_path: can't read {str(path)!r}: {told}") from error
    except (OSError, ValueError, RecursionError, MemoryError, csv.Error) as error:
        raise UserError(f"data.name_or_path: can't read {str(path)!r}: {error}") from error
    raise UserError(
        f"data.name_or_path: {str(path)!r} is not a manifest; give one of {' '.join(MANIFEST_SUFFIXES)}, or a folder"
    )


def _read_parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        # `read_table` would add columns by the names of the folders that the file lies in
        with pyarrow.parquet.ParquetFile(path) as file:
            _refuse_twins(file.schema_arrow.names)
            table = file.read()
        table.validate(full=True)  # offsets that lead out of the data are refused here, and not followed
        columns: dict[str, list[Any]] = table.to_pydict()
    except (pyarrow.ArrowException, ArithmeticError, TypeError) as error:  # also dates and decimals out of range
        raise ValueError(str(error) or type(error).__name__) from error
    for field in table.schema:
        if pyarrow.types.is_floating(field.type):
            columns[field.name] = [None if cell is None or math.isnan(cell) else cell for cell in columns[field.name]]
    return columns


def _read_separated(path: Path) -> Table:
    with path.open(newline="", encoding="utf-8-sig") as file:
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
        if path.suffix == ".tsv":
            header = file.readline().rstrip("\r\n").split("\t")
            file.seek(0)
            # Common Voice quotes nothing, and some of its sentences begin with a quotation mark
            quoting = csv.QUOTE_NONE if {"client_id", "path", "sentence"} <= set(header) else csv.QUOTE_MINIMAL
        delimiter = "," if path.suffix == ".csv" else "\t"
        reader = csv.reader(_without_nul(file), delimiter=delimiter, strict=True, quoting=quoting)
        names = next(reader, [])
        _refuse_twins(names)
        records = []
        for record in reader:
            if record and len(record) != len(names):
                raise ValueError(
                    f"row {reader.line_num} has not as many fields as the header; quote fields that hold a comma"
                )
            records.append(record)
    return {name: [record[index] for record in records if record] for index, name in enumerate(names)}


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise ValueError(
                f"line {number} holds a zero byte; text of two bytes a letter (UTF-16) must be saved as UTF-8"
            )
        yield line


def _refuse_twins(names: Sequence[str]) -> None:
    twins = [name for name, count in Counter(names).items() if count > 1]
    if twins:
        raise ValueError(f"several columns are called {named([repr(name) for name in twins])}")


def _read_json(path: Path) -> list[dict[str, Any]]:
    content = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json" and content.lstrip().startswith("["):
        records = _parsed(content)
        if not all(isinstance(record, dict) for record in records):
            raise ValueError("it is a JSON array, but not of objects")
        return records
    return _read_json_lines(content)


def _read_json_lines(content: str) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = _parsed(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number} is not JSON ({error})") from error
        if not isinstance(record, dict):
            raise ValueError(f"line {number} is not a JSON object")
        records.append(record)
    return records


def _parsed(text: str) -> Any:
    value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_deep(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        _refuse_twins([name for name, _ in pairs])
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


def _columns(records: list[dict[str, Any]]) -> Table:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def select_split(table: Table, *, split: str, manifest: Path, any_lone: bool = False) -> tuple[Table, list[str]]:
    """The rows whose `split` column says `split`, or another name for it; all of a manifest without such a column.

    Returns:
        The rows, and a notice where the column has another name for the split.

    Raises:
        UserError: the column never says so; names what it says.
    """
    if SPLIT_COLUMN not in table:
        return table, []
    said = [str(name) for name in table[SPLIT_COLUMN]]
    chosen, notices = choose_splits(split, said, where=repr(str(manifest)), any_lone=any_lone)
    wanted = [index for index, name in enumerate(said) if name in chosen]
    return {name: [values[index] for index in wanted] for name, values in table.items()}, notices
