"""Recordings that lie inside of something larger: the members of a tar, the rows of a dataset."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`size` bytes from `offset` on of the file at `path`: one encoded recording."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The encoded recording; shorter where the file has been cut since.

        Raises:
            OSError: the file can't be read.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class DatasetCell:
    """Audio that stays in a dataset of the library `datasets`, in that row of it; `path` is the name it gives it."""

    row: int
    path: str | None = None
