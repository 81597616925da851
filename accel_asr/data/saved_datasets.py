"""Folders that `datasets` wrote with `save_to_disk`: a Dataset, or a DatasetDict with its splits."""

from pathlib import Path
from typing import Any

from accel_asr.data.manifests import Table
from accel_asr.errors import UserError


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    )


def load_saved_table(folder: Path, *, split: str) -> tuple[Table, bool]:
    """One split of a saved DatasetDict, or all of a saved Dataset, with audio left encoded.

    Returns:
        The table, and whether the folder told its splits apart.

    Raises:
        UserError: unreadable, or no such split; names those there are.
    """
    import datasets  # takes a second

    try:
        dataset = datasets.load_from_disk(str(folder))
    except IndexError as error:  # `datasets` itself can't open what it saved without a row
        raise UserError(
            f"data.name_or_path: the saved dataset {str(folder)!r} has no rows, or has a split without any; "
            "save it again with rows in each split"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # a torn folder raises any of these
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"data.name_or_path: can't read the saved dataset {str(folder)!r}: {reason}; "
            "save it again with save_to_disk"
        ) from error
    has_splits = isinstance(dataset, datasets.DatasetDict)
    if has_splits:
        if split not in dataset:
            raise UserError(
                f"data.train_split or data.eval_split: {str(folder)!r} has no split {split!r}; "
                f"it has: {', '.join(sorted(dataset))}"
            )
        dataset = dataset[split]
    return encoded_columns(dataset), has_splits


def encoded_columns(dataset: Any) -> Table:
    """All columns of a Dataset, with audio as bytes and path: decoding it would need torchcodec."""
    import datasets

    for column, feature in dataset.features.items():
        if isinstance(feature, datasets.Audio):
            dataset = dataset.cast_column(column, datasets.Audio(decode=False))
    return {column: dataset[column][:] for column in dataset.column_names}
