"""Datasets read by the library `datasets`, whose audio stays on disk: the output of `save_to_disk`, and Parquet files.

Audio is left encoded: the library's own decoding needs torchcodec.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_asr.audio.decoding import AudioError
from accel_asr.data.reading.source_table import DatasetCell, Table, source_error
from accel_asr.data.reading.split_names import choose_splits


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder is the output of `save_to_disk`."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    )


def open_saved_dataset(folder: Path, *, split: str, any_lone: bool = False) -> tuple[Any, str | None, list[str]]:
    """One split of a saved DatasetDict, or all of a saved Dataset, mapped into memory.

    Returns:
        The dataset; its name for the split, None if the folder has no splits; notices.

    Raises:
        UserError: unreadable, or no such split; names those there are.
    """
    import datasets  # takes a second

    try:
        dataset = datasets.load_from_disk(str(folder))
    except IndexError as error:  # `datasets` itself can't open what it saved without a row
        raise source_error(
            "this saved dataset, or one of its splits, has no rows", folder, "save it again with rows in each split"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # a torn folder raises any of these
        raise source_error(
            f"this saved dataset can't be read: {first_line(error)}", folder, "save it again with save_to_disk"
        ) from error
    if not isinstance(dataset, datasets.DatasetDict):
        return encoded(dataset), None, []
    names, notices = choose_splits(split, sorted(dataset), where=repr(str(folder)), any_lone=any_lone)
    parts = [dataset[name] for name in names]
    return encoded(parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)), "-".join(names), notices


def open_parquet_files(files: Sequence[Path], *, cache_dir: Path) -> Any:
    """The rows of these files, one after the other, mapped into memory from a copy in `cache_dir`.

    Raises:
        UserError: a file is unreadable, or has other columns than the first.
    """
    import datasets  # takes a second

    try:
        dataset = datasets.load_dataset(
            "parquet", data_files=[str(path) for path in files], split="train", cache_dir=str(cache_dir)
        )
    except (datasets.exceptions.DatasetGenerationError, OSError, ValueError, TypeError) as error:
        reason = first_line(error.__cause__ or error)
        raise source_error(
            f"{len(files):,} Parquet files, {files[0].name} to {files[-1].name}, can't be read as one table ({reason})",
            files[0].parent,
            "they must be complete and have the same columns",
        ) from error
    for column, feature in dataset.features.items():
        # files that `datasets` did not write do not say which of their columns is audio
        if isinstance(feature, dict) and set(feature) == {"bytes", "path"}:
            dataset = dataset.cast_column(column, datasets.Audio(decode=False))
    return encoded(dataset)


def first_line(error: BaseException) -> str:
    """Of an error's message, or the error's name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def encoded(dataset: Any) -> Any:
    """The same dataset with audio as bytes and path."""
    import datasets

    for column, feature in (dataset.features or {}).items():  # a stream may not know them
        if isinstance(feature, datasets.Audio):
            dataset = dataset.cast_column(column, datasets.Audio(decode=False))
    return dataset


def table_of(dataset: Any) -> Table:
    """All columns of an `encoded` dataset; audio that it holds as `DatasetCell`s, so that none of it is read.

    Audio of which it holds only the path stays a path, to be resolved and checked like that of any other table.
    """
    table: dict[str, Any] = {}
    as_arrow = dataset.with_format("arrow")
    for column in dataset.column_names:
        kind = str(as_arrow.features[column])
        if kind.startswith("Audio"):
            cells = as_arrow.select_columns([column])[:].column(column)
            names = [name for chunk in cells.chunks for name in chunk.field("path").to_pylist()]
            held = [is_held for chunk in cells.chunks for is_held in chunk.field("bytes").is_valid().to_pylist()]
            table[column] = [
                DatasetCell(row, name) if is_held else {"path": name}
                for row, (name, is_held) in enumerate(zip(names, held, strict=True))
            ]
        elif "binary" in kind:
            table[column] = [DatasetCell(row) for row in range(len(dataset))]
            feature = dataset.features[column]
            if isinstance(feature, Mapping):  # its other fields, such as the start in the recording
                others = as_arrow.select_columns([column])[:].column(column)
                table |= {
                    f"{column}.{key}": [cell for chunk in others.chunks for cell in chunk.field(key).to_pylist()]
                    for key in feature
                    if key not in ("bytes", "path")
                }
        elif kind.startswith("ClassLabel"):  # numbers for names; a negative one for none
            name_of = dataset.features[column].int2str
            numbers = dataset[column][:]
            table[column] = [None if number is None or number < 0 else name_of(number) for number in numbers]
        else:
            table[column] = dataset[column][:]
    return table


@dataclass(frozen=True)
class DatasetAudio:
    """The audio of an `encoded` dataset; another process maps the same files."""

    dataset: Any
    column: str

    def get(self, row: int) -> bytes:
        """The encoded recording of one row.

        Raises:
            AudioError: the row holds none, or the files of the dataset can't be read.
        """
        try:
            cell = self.dataset[row][self.column]
        except (OSError, ValueError) as error:
            raise AudioError(f"the dataset can't be read ({error})") from error
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if content:
            return bytes(content)
        raise AudioError("the row holds no audio")
