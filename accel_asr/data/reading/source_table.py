"""A table of rows as its source has it: columns, the place of each row in its file, and its cells in messages."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accel_asr.console.public_text import visible
from accel_asr.errors import UserError

MAX_NAMES = 5  # that a message lists
_MAX_SHOWN = 200  # letters of one value

Table = Mapping[str, list[Any]]  # column name -> values; all columns equally long


@dataclass(frozen=True, slots=True)
class DatasetCell:
    """Audio in a row of a dataset of the library `datasets`, where it stays; `path` is the name that the row gives."""

    row: int
    path: str | None = None


class SourceTable(dict[str, list[Any]]):
    """Columns by name.

    Args:
        lines: The line numbers of the rows in their file; empty if rows have none.
        has_times: Texts have times written in them, put there by the reader.
    """

    def __init__(
        self,
        columns: Mapping[str, list[Any]] | Iterable[tuple[str, list[Any]]] = (),
        *,
        lines: Sequence[int] = (),
        notices: Sequence[str] = (),
        has_times: bool = False,
    ) -> None:
        super().__init__(columns)
        self.lines = list(lines)
        self.notices = list(notices)
        self.has_times = has_times

    def select(self, rows: Sequence[int]) -> "SourceTable":
        """Some of the rows, by number from 0."""
        lines = [self.lines[row] for row in rows] if self.lines else ()
        columns = {name: [cells[row] for row in rows] for name, cells in self.items()}
        return SourceTable(columns, lines=lines, notices=self.notices, has_times=self.has_times)


def place_of_row(table: Table, row: int) -> str:
    """Where a row stands, for messages: its line in the file if it has one, else its number from 1."""
    lines = table.lines if isinstance(table, SourceTable) else ()
    return f"line {lines[row]}" if lines else f"row {row + 1}"


def refuse_equal_names(names: Sequence[str]) -> None:
    """Refuse several columns with one name.

    Raises:
        ValueError: lists the names.
    """
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        raise ValueError(f"several columns are called {first_few([repr(name) for name in duplicates])}")


def source_error(problem: str, source: object, remedy: str | None = None) -> UserError:
    """An error about a file, folder or address that `data.name_or_path` names or leads to."""
    return UserError(problem, setting="--data.name_or_path", value=source, remedy=remedy)


def first_few(names: Sequence[str], *, most: int = MAX_NAMES) -> str:
    """`a, b, c and 4 more`, on one line whatever the names hold, each cut to a readable length."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(_cut(visible(name)) for name in names[:most]) + more


def quoted(cell: Any) -> str:
    """A cell as a message shows it: as Python writes it, cut, and without halves of characters."""
    written = _cut(repr(cell))
    return written if written.isprintable() else ascii(written)[1:-1]


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
