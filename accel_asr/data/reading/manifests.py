"""Read manifests: tables of recordings and texts in CSV, TSV, JSON lines or Parquet."""

import codecs
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accel_asr.data.reading.corpus_layouts import read_ljspeech_table
from accel_asr.data.reading.json_documents import read_json
from accel_asr.data.reading.separated_text import read_separated
from accel_asr.data.reading.source_table import SourceTable, Table, refuse_equal_names, source_error
from accel_asr.data.reading.split_names import choose_splits, kind_of

METADATA_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")  # looked for in a folder
MANIFEST_SUFFIXES = (*METADATA_SUFFIXES, ".json")  # NeMo calls its JSON lines .json
SPLIT_COLUMN = "split"
_SPLIT_NAMES = ("set", "subset", "partition", "part", "usage", "fold")  # if they hold only names of splits


def find_manifest(folder: Path) -> Path | None:
    """The manifest in a folder of audio, by the name that the audiofolder convention gives it."""
    for suffix in METADATA_SUFFIXES:
        for stem in ("metadata", "manifest"):
            if (folder / f"{stem}{suffix}").is_file():
                return folder / f"{stem}{suffix}"
    return None


def read_manifest(path: Path) -> SourceTable:
    """All columns of a CSV, TSV, JSON or Parquet file, by its ending. NaN, data frames' empty cell, becomes None.

    Raises:
        UserError: not one of these, unreadable, or malformed; names the line where it can.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in MANIFEST_SUFFIXES and _starts_with(path, b"version https://git-lfs"):
            raise ValueError("it is a Git LFS pointer, without the content; fetch that with `git lfs pull`")
        if suffix != ".parquet" and suffix in MANIFEST_SUFFIXES and _starts_with(path, b"PAR1"):
            raise ValueError("it is a Parquet file; rename it so that it ends with .parquet")
        if suffix == ".parquet":
            return _read_parquet(path)
        if suffix in (".jsonl", ".json"):
            return read_json(_text_of(path))
        if suffix == ".csv" and (ljspeech := read_ljspeech_table(path)):
            return SourceTable(ljspeech)
        if suffix in (".csv", ".tsv"):
            return read_separated(_text_of(path), suffix=suffix)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise source_error(
            f"can't be read: line {line} is not UTF-8 text ({error})", path, "save the file as UTF-8"
        ) from error
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise source_error(f"can't be read: {error}", path) from error
    raise source_error("is not a manifest", path, f"give one of {' '.join(MANIFEST_SUFFIXES)}, or a folder")


def _starts_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _read_parquet(path: Path) -> SourceTable:
    import pyarrow
    import pyarrow.parquet

    try:
        # `read_table` would add columns by the names of the folders that the file lies in
        with pyarrow.parquet.ParquetFile(path) as file:
            refuse_equal_names(file.schema_arrow.names)
            table = file.read()
        table.validate(full=True)  # refuses offsets that lead out of the data
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


def splits_of_rows(table: Table) -> tuple[list[str], str] | None:
    """The split that each row names, and where: in a column `split`, in a similar one that holds only names of splits,
    or in the folders of an audiofolder's files, `train/a.wav`. None if rows name none.
    """
    by_name = {name.lower(): name for name in reversed(list(table))}
    column = SPLIT_COLUMN if SPLIT_COLUMN in table else by_name.get(SPLIT_COLUMN)
    if column is not None:
        return ["" if cell is None else str(cell).strip() for cell in table[column]], f"column {column!r}"
    for name in _SPLIT_NAMES:
        if name in by_name and _are_splits(table[by_name[name]]):
            return [str(cell).strip() for cell in table[by_name[name]]], f"column {by_name[name]!r}"
    files = table.get("file_name", [])
    paths = [cell.replace("\\", "/").split("/")[:-1] if isinstance(cell, str) else [] for cell in files]
    for folders in zip(*paths, strict=False):
        if _are_splits(folders):
            return list(folders), "folders in 'file_name'"
    return None


def _are_splits(cells: Sequence[Any]) -> bool:
    """Whether all cells are names of splits, and of at least two kinds."""
    kinds = {kind_of(cell) if isinstance(cell, str) else None for cell in cells}
    return None not in kinds and len(kinds) > 1


def select_split(table: Table, *, split: str, manifest: Path, any_lone: bool = False) -> tuple[Table, list[str]]:
    """The rows of `split`, by this or another name for it; all rows if they name no splits.

    Returns:
        The rows, and a notice if the split has another name, or its column.

    Raises:
        UserError: no row is of it; names the splits that there are.
    """
    named_splits = splits_of_rows(table)
    if named_splits is None:
        return table, []
    splits, place = named_splits
    chosen, notices = choose_splits(split, splits, where=repr(str(manifest)), any_lone=any_lone)
    chosen_lower = {name.lower() for name in chosen}  # Train and train are one split
    rows = [index for index, name in enumerate(splits) if name.lower() in chosen_lower]
    if SPLIT_COLUMN not in table:
        notices.append(f"{split}: {len(rows):,} of {len(splits):,} rows, by the {place}")
    if without := sum(name in ("", "None") for name in splits):
        notices.append(f"{without:,} of {len(splits):,} rows are of no split: their {place} is empty")
    return (table if isinstance(table, SourceTable) else SourceTable(table)).select(rows), notices
