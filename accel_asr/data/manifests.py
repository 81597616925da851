"""Read manifests: tables of recordings and texts in CSV, TSV, JSON lines or Parquet."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from accel_asr.errors import UserError

METADATA_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")  # looked for in a folder
MANIFEST_SUFFIXES = (*METADATA_SUFFIXES, ".json")  # NeMo calls its JSON lines .json
SPLIT_COLUMN = "split"

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

    Raises:
        UserError: not one of these, unreadable, or malformed; names the line where it can.
    """
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            return pyarrow.parquet.read_table(path).to_pydict()
        if path.suffix in (".jsonl", ".json"):
            return _columns(_read_json(path))
        if path.suffix in (".csv", ".tsv"):
            records = _read_separated(path)
            for line, record in enumerate(records, start=2):
                if None in record or None in record.values():
                    raise ValueError(f"row {line} has not as many fields as the header; quote fields that hold a comma")
            return _columns(records)
    except (OSError, ValueError, RecursionError, csv.Error) as error:  # pyarrow's are OSErrors and ValueErrors
        raise UserError(f"data.name_or_path: can't read {str(path)!r}: {error}") from error
    raise UserError(
        f"data.name_or_path: {str(path)!r} is not a manifest; give one of {' '.join(MANIFEST_SUFFIXES)}, or a folder"
    )


def _read_separated(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        if path.suffix == ".csv":
            return list(csv.DictReader(file, strict=True))
        header = file.readline().rstrip("\r\n").split("\t")
        file.seek(0)
        # Common Voice quotes nothing, and some of its sentences begin with a quotation mark
        quoting: Literal[0, 3] = (
            csv.QUOTE_NONE if {"client_id", "path", "sentence"} <= set(header) else csv.QUOTE_MINIMAL
        )
        return list(csv.DictReader(file, delimiter="\t", strict=True, quoting=quoting))


def _read_json(path: Path) -> list[dict[str, Any]]:
    content = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json" and content.lstrip().startswith("["):
        records = json.loads(content)
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
