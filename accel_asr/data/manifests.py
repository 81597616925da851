"""Read manifests: tables of recordings and texts in CSV, TSV, JSON lines or Parquet."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accel_asr.errors import UserError

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
SPLIT_COLUMN = "split"

Table = Mapping[str, list[Any]]  # column name -> values; all columns equally long


def find_manifest(folder: Path) -> Path:
    """The manifest in a folder of audio, by the name that the audiofolder convention gives it.

    Raises:
        UserError: there is none.
    """
    for suffix in MANIFEST_SUFFIXES:
        for stem in ("metadata", "manifest"):
            if (folder / f"{stem}{suffix}").is_file():
                return folder / f"{stem}{suffix}"
    raise UserError(
        f"data.name_or_path: the folder {str(folder)!r} has no metadata.csv, metadata.tsv or metadata.jsonl; "
        "write one with a column file_name (relative to the folder) and a column for the text"
    )


def read_manifest(path: Path) -> Table:
    """All columns of a CSV, TSV, JSON lines or Parquet file, by its ending.

    Raises:
        UserError: not one of these, unreadable, or malformed; names the line where it can.
    """
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            return pyarrow.parquet.read_table(path).to_pydict()
        if path.suffix == ".jsonl":
            return _columns(_read_json_lines(path))
        if path.suffix in (".csv", ".tsv"):
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
                records = list(reader)
            for line, record in enumerate(records, start=2):
                if None in record or None in record.values():
                    raise ValueError(f"row {line} has not as many fields as the header; quote fields that hold a comma")
            return _columns(records)
    except (OSError, ValueError, csv.Error) as error:  # UnicodeDecodeError and pyarrow's errors are ValueErrors
        raise UserError(f"data.name_or_path: can't read {str(path)!r}: {error}") from error
    raise UserError(
        f"data.name_or_path: {str(path)!r} is not a manifest; give one of {' '.join(MANIFEST_SUFFIXES)}, or a folder"
    )


def _read_json_lines(path: Path) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} is not JSON ({error})") from error
        if not isinstance(record, dict):
            raise ValueError(f"line {number} is not a JSON object")
        records.append(record)
    return records


def _columns(records: list[dict[str, Any]]) -> Table:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def select_split(table: Table, *, split: str, manifest: Path) -> Table:
    """The rows whose `split` column says `split`; all rows of a manifest without such a column.

    Raises:
        UserError: the column never says so; names what it says.
    """
    if SPLIT_COLUMN not in table:
        return table
    wanted = [index for index, name in enumerate(table[SPLIT_COLUMN]) if name == split]
    if not wanted:
        there = ", ".join(sorted({str(name) for name in table[SPLIT_COLUMN]}))
        raise UserError(
            f"data.train_split or data.eval_split: {str(manifest)!r} has no split {split!r}; it has: {there}"
        )
    return {name: [values[index] for index in wanted] for name, values in table.items()}
