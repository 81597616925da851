"""Parquet files that are one dataset, as the Hub keeps them: read by `datasets`, so that their audio stays on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accel_asr.data.reading.saved_datasets import encoded
from accel_asr.errors import UserError


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
        cause = error.__cause__ or error
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise UserError(
            f"data.name_or_path: can't read {len(files):,} Parquet files, {files[0].name} to {files[-1].name} in "
            f"{str(files[0].parent)!r}, as one table ({reason}); they must be whole and have the same columns"
        ) from error
    for column, feature in dataset.features.items():
        # files that `datasets` did not write do not say which of their columns is audio
        if isinstance(feature, dict) and set(feature) == {"bytes", "path"}:
            dataset = dataset.cast_column(column, datasets.Audio(decode=False))
    return encoded(dataset)
