"""Rows to a Parquet file that the `datasets` library reads with its column types."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
from datasets import Features

ROWS_IN_GROUP = 100


def write_parquet(rows: list[dict], features: Features, output: Path) -> None:
    """Write rows whose audio is {"bytes", "path"} already encoded; the schema carries the Hugging Face features.

    Written with pyarrow: `datasets` would decode and encode the audio again, for which it needs torchcodec.
    """
    table = pyarrow.Table.from_pylist(rows, schema=features.arrow_schema)
    # The audio is compressed already, and the text is small.
    pyarrow.parquet.write_table(table, output, row_group_size=ROWS_IN_GROUP, compression="zstd")
