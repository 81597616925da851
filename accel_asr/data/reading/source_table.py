"""A table that was read from a file: its columns, and where in the file each row stands."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accel_asr.data.reading.audio_paths import named

Table = Mapping[str, list[Any]]  # column name -> values; all columns equally long


class SourceTable(dict[str, list[Any]]):
    """Columns by name. `lines` are those of the rows in their file, or none where rows have no lines."""

    def __init__(
        self,
        columns: Mapping[str, list[Any]] | Iterable[tuple[str, list[Any]]] = (),
        *,
        lines: Sequence[int] = (),
        notices: Sequence[str] = (),
    ) -> None:
        super().__init__(columns)
        self.lines = list(lines)
        self.notices = list(notices)

    def select(self, rows: Sequence[int]) -> "SourceTable":
        """Some of the rows, by number from 0."""
        lines = [self.lines[row] for row in rows] if self.lines else ()
        columns = {name: [cells[row] for row in rows] for name, cells in self.items()}
        return SourceTable(columns, lines=lines, notices=self.notices)


def place_of_row(table: Table, row: int) -> str:
    """Where a row stands, for messages: its line in the file where it has one, else its number from 1."""
    lines = table.lines if isinstance(table, SourceTable) else ()
    return f"line {lines[row]}" if lines else f"row {row + 1}"


def refuse_twins(names: Sequence[str]) -> None:
    """Refuse columns of one name.

    Raises:
        ValueError: names them.
    """
    twins = [name for name, count in Counter(names).items() if count > 1]
    if twins:
        raise ValueError(f"several columns are called {named([repr(name) for name in twins])}")
